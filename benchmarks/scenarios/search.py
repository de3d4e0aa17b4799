"""Looking for the highest rate that is kept: what to load next, and what has been shown.

Plain bisection ends wherever a neighbour on the machine disturbed one probe: a well-known search
answered half of what the same server kept afterwards. Here a rate only counts as missed when two
of three probes missed it, and a probe that missed on a noisy machine does not count at all, up to a
number of times. What the search has found is an answer only if a long load at that rate is kept, or
one some steps below. All of it has a time to be over in: no load is begun that would not end in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

__all__ = ["RateSearch", "Seen", "Step"]

Seen = Literal["kept", "missed", "noisy", "undrivable"]
"""Of one load. ``noisy``: missed while others used the machine; ``undrivable``: the generator
could not send that much honestly."""
MISSES = 2
OVERHEAD_S = 2.0
"""What a load takes beside its own time: starting generators, waiting for the last answers."""


class Step(NamedTuple):
    """A load to drive."""

    stage: Literal["search", "confirm"]
    rate: float
    lasts_s: float
    """Warm-up included."""


@dataclass(slots=True)
class RateSearch:
    """Geometric steps until a rate is kept and one is missed, bisection, confirmation.

    Rates in requests a second.
    """

    start: float
    budget_s: float
    """When all of it has to be over; of the same clock as what ``next_step`` is told."""
    growth: float = 1.4
    precision: float = 0.05
    """Found when the lowest rate missed is at most so much above the highest one kept."""
    highest: float = 1e6
    noisy_retries: int = 2
    probe_s: float = 4.0
    confirm_s: float = 30.0
    confirm_tries: int = 3
    """Rates that are tried for it, each ``precision`` below the one before."""
    warmup_s: float = 0.0
    """Comes before each load."""
    least_requests: float = 0.0
    """A load lasts as long as so many take, at least."""
    kept: float = 0.0
    """The highest rate that was kept; 0: none was."""
    missed: float = float("inf")
    """The lowest rate that was not kept."""
    confirmed: float = 0.0
    """The answer; 0: there is none."""
    ended: Literal["", "confirmed", "unconfirmed", "nothing kept", "out of time"] = ""
    is_generator_limited: bool = False
    """Whether the lowest rate missed was missed for the generator's sake."""
    _step: Step | None = None
    _confirming: int = 0
    _seen: list[Seen] = field(default_factory=list)

    def next_step(self, now_s: float) -> Step | None:
        """The load to drive; None: it has ended, ``ended`` says how."""
        if self.ended:
            return None
        if self._step is None:
            self._step = self._choose()
            if self._step is None:
                self.ended = "nothing kept"
                return None
        step = self._step
        over_s = now_s + step.lasts_s + OVERHEAD_S
        if step.stage == "search":
            over_s += self._lasts_s(self.confirm_s, step.rate) + OVERHEAD_S
        if over_s > self.budget_s:
            self.ended = "out of time"
            return None
        return step

    def record(self, seen: Seen) -> None:
        """What the load of ``next_step`` has shown."""
        step = self._step
        assert step is not None
        self._seen.append(seen)
        is_kept = self._verdict(1 if step.stage == "confirm" else MISSES)
        if is_kept is None:
            return
        if step.stage == "confirm":
            self._confirm(step.rate, is_kept)
        elif is_kept:
            self.kept = max(self.kept, step.rate)
        else:
            self.missed = min(self.missed, step.rate)
            self.is_generator_limited = self._seen.count("undrivable") >= MISSES
        self._step = None
        self._seen.clear()

    def _verdict(self, misses: int) -> bool | None:
        """Whether the rate is kept; None: to be loaded again."""
        if "kept" in self._seen:
            return True
        noisy = self._seen.count("noisy")
        counted = len(self._seen) - min(noisy, self.noisy_retries)
        return False if counted >= misses else None

    def _confirm(self, rate: float, is_kept: bool) -> None:
        if is_kept:
            self.confirmed, self.ended = rate, "confirmed"
        elif self._confirming == self.confirm_tries:
            self.ended = "unconfirmed"

    def _choose(self) -> Step | None:
        rate = self._search_rate()
        if rate:
            return Step("search", rate, self._lasts_s(self.probe_s, rate))
        if not self.kept:
            return None
        rate = self.kept * (1 - self.precision) ** self._confirming
        self._confirming += 1
        return Step("confirm", rate, self._lasts_s(self.confirm_s, rate))

    def _search_rate(self) -> float:
        """The rate to probe; 0: there is none left."""
        if self.kept == 0.0:
            if self.missed == float("inf"):
                return min(self.start, self.highest)
            below = self.missed / self.growth
            return below if below >= 1.0 else 0.0
        if self.missed == float("inf"):
            return min(self.kept * self.growth, self.highest) if self.kept < self.highest else 0.0
        if self.missed <= self.kept * (1 + self.precision):
            return 0.0
        return float((self.kept * self.missed) ** 0.5)

    def _lasts_s(self, lasts_s: float, rate: float) -> float:
        return self.warmup_s + max(lasts_s, self.least_requests / rate)
