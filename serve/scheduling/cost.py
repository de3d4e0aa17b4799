"""What a batch costs: a curve over its rows that starts from a profile and follows reality."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

__all__ = ["CostModel"]

FOLLOW = 0.2
"""Weight of one observation in the correction of the sizes next to it."""
SPREAD = 0.02
"""How far the other sizes follow: what slows one size down mostly slows all (a neighbour, heat)."""
CLIP = 4.0
"""Largest ratio of observed to predicted that one batch may claim, so that a hiccup stays one."""
CHEAP_NS = 500_000
CHEAP_SAMPLING = 32
"""Of batches that take less, which come by the thousand a second, one in so many is learnt from."""
FORGET = 1.1
"""How fast the quickest observation is forgotten, a batch that is learnt from."""
WORTHWHILE = 1.03
"""A larger batch must cost this much less a row to be worth the wait of those in it."""


class CostModel:
    """Nanoseconds of one batch, piecewise linear in its rows, each size with a correction.

    ``profile`` maps rows to nanoseconds and must name at least one size. Below the smallest size
    a batch costs what the smallest does; above the largest, cost grows in proportion.
    """

    def __init__(self, profile: Mapping[int, int]) -> None:
        if not profile or min(profile) < 1 or min(profile.values()) < 0:
            raise ValueError(f"a profile maps rows >= 1 to nanoseconds >= 0, got {dict(profile)}")
        self._sizes = sorted(profile)
        self._base_ns: list[float] = [max(1, profile[size]) for size in self._sizes]
        self._factors = [1.0] * len(self._sizes)
        self._current_ns = self._base_ns
        self._quickest = 1.0
        # By rows, of which no more sizes are asked for than a batch can have.
        self._known_ns: dict[int, float] = {}
        self._batch_ns: dict[int, int] = {}
        self.efficient_rows = 1
        self._until_learning = 0
        self._settle()

    def batch_ns(self, rows: int) -> int:
        """Predicted nanoseconds of a batch of ``rows`` rows, as they are on average."""
        known = self._batch_ns.get(rows)
        if known is None:
            known = self._batch_ns[rows] = int(self._interpolated(rows, self._current_ns))
        return known

    def quick_ns(self, rows: int) -> int:
        """Nanoseconds of such a batch where nothing else uses the core.

        This is the batch's own work: what a busy machine adds to the average is waiting.
        """
        return int(self._profile_ns(rows) * self._quickest)

    def _profile_ns(self, rows: int) -> float:
        known = self._known_ns.get(rows)
        if known is None:
            known = self._known_ns[rows] = self._interpolated(rows, self._base_ns)
        return known

    def _interpolated(self, rows: int, values: list[float]) -> float:
        sizes = self._sizes
        right = bisect_left(sizes, rows)
        if right == len(sizes):
            return values[-1] * rows / sizes[-1]
        if right == 0 or sizes[right] == rows:
            return values[right]
        left = right - 1
        part = (rows - sizes[left]) / (sizes[right] - sizes[left])
        return values[left] + (values[right] - values[left]) * part

    def learn(self, rows: int, took_ns: int) -> bool:
        """``observe`` a batch, of cheap ones one in many; whether it was."""
        self._until_learning -= 1
        if took_ns <= CHEAP_NS and self._until_learning > 0:
            return False
        self._until_learning = CHEAP_SAMPLING
        self.observe(rows, took_ns)
        return True

    def observe(self, rows: int, took_ns: int) -> None:
        """Learn from a batch that was run."""
        own = took_ns / self._profile_ns(rows)
        self._quickest = min(own, self._quickest * FORGET)
        ratio = took_ns / max(1, self.batch_ns(rows))
        ratio = min(CLIP, max(1 / CLIP, ratio))
        right = min(bisect_left(self._sizes, rows), len(self._sizes) - 1)
        left = right if right == 0 or self._sizes[right] <= rows else right - 1
        factors = self._factors
        step = 1 + FOLLOW * (ratio - 1)
        factors[right] *= step
        if left != right:
            factors[left] *= step
        target = factors[right]
        for index, factor in enumerate(factors):
            if index != left and index != right:
                factors[index] = factor + SPREAD * (target - factor)
        self._settle()

    def _settle(self) -> None:
        """Recompute the size that gives the most rows a second."""
        pairs = zip(self._base_ns, self._factors, strict=True)
        self._current_ns = [base * factor for base, factor in pairs]
        self._batch_ns.clear()
        best_rows, best_ns = 1, float("inf")
        for size, batch_ns in zip(self._sizes, self._current_ns, strict=True):
            row_ns = batch_ns / size
            if row_ns * WORTHWHILE < best_ns:
                best_rows, best_ns = size, row_ns
        self.efficient_rows = best_rows
