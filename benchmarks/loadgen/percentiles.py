"""Exact percentiles. Runs have some 100,000 requests, so nothing is gained by a histogram."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.loadgen.spec import Latency

__all__ = ["latency_ms"]


def latency_ms(seconds: npt.ArrayLike) -> Latency:
    """Percentiles of latencies, each a value that was measured, never one in between."""
    values = np.asarray(seconds, np.float64) * 1e3
    if not values.size:
        return Latency()
    points = np.percentile(values, (50, 90, 99, 99.9, 100), method="inverted_cdf")
    return Latency(*(round(float(point), 3) for point in points))
