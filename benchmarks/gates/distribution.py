"""A latency histogram as arrays: how many were above a bound, and the points of its curve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

__all__ = ["Distribution", "merged"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Recorded latencies, ascending, and how many requests had each."""

    values_ms: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def decode(cls, histogram: str) -> Distribution:
        """From HdrHistogram V2 in base64, whose values are microseconds.

        Raises:
            ValueError: it is something else.
        """
        try:
            recorded = HdrHistogram.decode(histogram)
            items = [
                (item.value_iterated_to, item.count_at_value_iterated_to)
                for item in recorded.get_recorded_iterator()
            ]
        except Exception as error:  # zlib, base64 and hdrh each have their own
            raise ValueError("not an HdrHistogram in base64") from error
        values = np.array([value for value, _ in items], np.float64) / 1e3
        return cls(values, np.array([count for _, count in items], np.int64))

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def above(self, bound_ms: float, *, inclusive: bool) -> int:
        """Requests slower than the bound, or at least as slow."""
        slower = self.values_ms >= bound_ms if inclusive else self.values_ms > bound_ms
        return int(self.counts[slower].sum())

    def quantiles(self) -> npt.NDArray[np.float64]:
        """For each value, the part of the requests that was at most as slow."""
        return np.cumsum(self.counts) / max(1, self.total)


def merged(histograms: Iterable[str]) -> str:
    """The sum of histograms, empty ones left out."""
    total: HdrHistogram | None = None
    for histogram in filter(None, histograms):
        if total is None:
            total = HdrHistogram.decode(histogram)
        else:
            total.decode_and_add(histogram)
    return "" if total is None else bytes(total.encode()).decode()
