"""Counts of one version, put together look by look, for judging them."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from serve.traffic.samples import Sample

__all__ = ["Rate", "Tally"]

LATENCY_BINS = 512
"""As many as there are durations in 64 bits of ns."""

Floats = npt.NDArray[np.float64]


class Rate(msgspec.Struct, frozen=True):
    """How many of some trials were hits, in how many looks.

    ``dispersion``: how many times as far the hits of looks lie apart as they would if trials were
    independent of each other, in variance; 1 at least. Requests that fail, are refused or are slow
    come in bursts, as they share a batch, or a machine that stops for a moment.
    """

    hits: int
    trials: int
    looks: int
    dispersion: float = 1.0

    @property
    def share(self) -> float:
        return self.hits / max(1, self.trials)

    @property
    def independent(self) -> tuple[float, float]:
        """Hits and trials that say as much, of trials that are independent (McCullagh and Nelder
        1989, "Generalized Linear Models", 4.5)."""
        return self.hits / self.dispersion, self.trials / self.dispersion


class Tally:
    """What was counted in some looks.

    ``latencies``: answered requests by ``latency_bin``. ``scores``: rows by ``score_bins``, with
    weights such that those of a look weigh no more than its requests, because rows of one request
    are alike.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.compared = self.disagreed = 0
        self.scores: dict[int, float] = {}
        self.latencies = np.zeros(LATENCY_BINS, np.int64)
        self._failed, self._refused = _Series(1), _Series(1)
        self._slower = _Series(LATENCY_BINS)

    def add(self, look: Sample) -> None:
        """Put a look to what there is."""
        self.answered += look.answered
        self.add_copies(look)
        accepted = look.answered + look.failed
        self._failed.add(np.array([look.failed], float), accepted)
        self._refused.add(np.array([look.refused], float), accepted + look.refused)
        if look.latencies:
            counts = np.zeros(LATENCY_BINS, np.int64)
            numbers = np.clip(list(look.latencies), 0, LATENCY_BINS - 1)
            np.add.at(counts, numbers, list(look.latencies.values()))
            self.latencies += counts
            timed = int(counts.sum())
            self._slower.add((timed - np.cumsum(counts)).astype(float), timed)
        rows = sum(look.scores.values())
        weight = min(1.0, look.answered / rows) if rows else 0.0
        for number, count in look.scores.items():
            self.scores[number] = self.scores.get(number, 0.0) + weight * count

    def add_copies(self, look: Sample) -> None:
        """Put nothing but the shadow copies of a look; an error is an answer that disagrees."""
        self.compared += look.compared + look.shadow_failed
        self.disagreed += look.disagreed + look.shadow_failed

    @property
    def accepted(self) -> int:
        return self._failed.trials

    @property
    def asked(self) -> int:
        return self._refused.trials

    @property
    def timed(self) -> int:
        """Requests with a latency."""
        return self._slower.trials

    @property
    def scored(self) -> float:
        """The weight of all scores: independent ones, in number."""
        return sum(self.scores.values())

    def failures(self) -> Rate:
        """Failed requests, of those accepted."""
        return self._failed.rate(0)

    def refusals(self) -> Rate:
        """Refused requests, of all."""
        return self._refused.rate(0)

    def slower(self, number: int) -> Rate:
        """Requests in latency bins above this one."""
        return self._slower.rate(min(number, LATENCY_BINS - 1))

    def bin_with_slower(self, most: int) -> int:
        """The lowest latency bin with at most so many requests in bins above it."""
        return int(np.argmax(self._slower.hits <= most))

    def p99_bin(self) -> int | None:
        """The bin of p99; None without requests."""
        return self.bin_with_slower(self.timed // 100) if self.timed else None


class _Series:
    """Hits of several kinds, of the same trials: sums over looks."""

    def __init__(self, kinds: int) -> None:
        self.looks = self.trials = 0
        self.hits: Floats = np.zeros(kinds)
        self._hits_squared: Floats = np.zeros(kinds)
        self._hits_by_trials: Floats = np.zeros(kinds)
        self._trials_squared = 0

    def add(self, hits: Floats, trials: int) -> None:
        if not trials:
            return
        self.looks += 1
        self.trials += trials
        self.hits += hits
        self._hits_squared += hits * hits
        self._hits_by_trials += hits * trials
        self._trials_squared += trials * trials

    def rate(self, kind: int) -> Rate:
        hits, trials = int(self.hits[kind]), self.trials
        share, dispersion = hits / max(1, trials), 1.0
        if self.looks > 1 and 0 < hits < trials:
            apart = (
                float(self._hits_squared[kind])
                - 2 * share * float(self._hits_by_trials[kind])
                + share * share * self._trials_squared
            )
            expected = share * (1 - share) * trials * (self.looks - 1) / self.looks
            dispersion = max(1.0, apart / expected)
        return Rate(hits, trials, self.looks, dispersion)
