"""Looking for the highest rate that is kept: which rate to try next, and what a try has shown.

Plain bisection ends wherever a neighbour on the machine disturbed one probe: a well-known search
answered half of what the same server kept afterwards. Here a rate only counts as missed when two
of three probes missed it, and a probe that missed on a noisy machine does not count at all, up to a
number of times. Where noise has decided after all, that rate is tried again at the end, and if it
is kept then, the search goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["RateSearch", "Seen"]

Seen = Literal["kept", "missed", "noisy", "undrivable"]
"""Of one probe. ``noisy``: missed while others used the machine; ``undrivable``: the generator
could not send that much honestly."""
MISSES = 2


@dataclass(slots=True)
class RateSearch:
    """Geometric steps up until a rate is missed, then bisection. Rates in requests a second."""

    start: float
    growth: float = 2.0
    precision: float = 0.05
    """Ends when the lowest rate missed is at most so much above the highest one kept."""
    highest: float = 1e6
    noisy_retries: int = 3
    doubts: int = 2
    """How often a rate that noise decided is tried again at the end."""
    kept: float = 0.0
    """The highest rate that was kept; 0: none was."""
    missed: float = float("inf")
    """The lowest rate that was not kept."""
    is_generator_limited: bool = False
    """Whether that was for the generator's sake."""
    _rate: float = 0.0
    _is_doubtful: bool = False
    _seen: list[Seen] = field(default_factory=list)

    def next_rate(self) -> float | None:
        """The rate to probe; None: the search has ended."""
        if self._rate == 0.0:
            self._rate = self._choose()
        return self._rate or None

    def record(self, seen: Seen) -> None:
        """What the probe at ``next_rate`` has shown."""
        self._seen.append(seen)
        verdict = self._verdict()
        if verdict is None:
            return
        if verdict:
            self.kept = max(self.kept, self._rate)
            if self.missed <= self.kept:
                self.missed, self.is_generator_limited = float("inf"), False
        else:
            self.missed = min(self.missed, self._rate)
            self.is_generator_limited = self._seen.count("undrivable") >= MISSES
            self._is_doubtful = "noisy" in self._seen
        self._rate = 0.0
        self._seen.clear()

    def _verdict(self) -> bool | None:
        """Whether the rate is kept; None: to be probed again."""
        if "kept" in self._seen:
            return True
        noisy = self._seen.count("noisy")
        counted = len(self._seen) - min(noisy, self.noisy_retries)
        return False if counted >= MISSES else None

    def _choose(self) -> float:
        if self.kept == 0.0:
            if self.missed == float("inf"):
                return min(self.start, self.highest)
            below = self.missed / self.growth
            return below if below >= 1.0 else 0.0
        if self.missed == float("inf"):
            return min(self.kept * self.growth, self.highest) if self.kept < self.highest else 0.0
        if self.missed <= self.kept * (1 + self.precision):
            if not self._is_doubtful or self.doubts <= 0:
                return 0.0
            self.doubts -= 1
            return self.missed
        return float((self.kept * self.missed) ** 0.5)
