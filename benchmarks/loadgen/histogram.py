"""Latency histograms: HdrHistogram V2, whole microseconds up to an hour, three digits.

Histograms of several processes merge without loss, which percentiles do not.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from benchmarks.loadgen.spec import Latency

__all__ = ["encode", "latency", "merge", "percentile_ms"]

LOWEST_US, HIGHEST_US, DIGITS = 1, 3_600_000_000, 3


def _new() -> HdrHistogram:
    return HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)


def encode(seconds: npt.NDArray[np.float64]) -> str:
    """Latencies in seconds as a histogram.

    One pass over the distinct values: recording them one by one costs 5 µs each.
    """
    histogram = _new()
    whole_us = np.clip(np.rint(seconds * 1e6), LOWEST_US, HIGHEST_US).astype(np.int64)
    values, counts = np.unique(whole_us, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return _text(histogram)


def merge(histograms: Iterable[str]) -> str:
    """The sum of histograms."""
    total = _new()
    for histogram in histograms:
        total.decode_and_add(histogram)
    return _text(total)


def latency(histogram: str) -> Latency:
    """Percentiles in milliseconds; all 0 where nothing was recorded."""
    decoded = HdrHistogram.decode(histogram)
    if not decoded.get_total_count():
        return Latency()
    points = decoded.get_percentile_to_value_dict([50, 90, 99, 99.9, 100])
    return Latency(*(points[point] / 1e3 for point in (50, 90, 99, 99.9, 100)))


def percentile_ms(histogram: str, percentile: float) -> float:
    """One percentile, 0 to 100, in milliseconds."""
    return float(HdrHistogram.decode(histogram).get_value_at_percentile(percentile)) / 1e3


def _text(histogram: HdrHistogram) -> str:
    return bytes(histogram.encode()).decode()
