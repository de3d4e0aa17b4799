"""Counts of one version, put together look by look, for judging them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from serve.traffic.samples import Sample

__all__ = ["Tally"]

LATENCY_BINS = 512
"""As many as there are durations in 64 bits of ns."""
BURST = 2
"""Looks that may be as bad as can be."""


class Tally:
    """What was counted in some looks.

    Requests that fail, are refused or are slow come in bursts: a machine that stops for a moment
    has a hundred of them at once, which say no more than one. So ``lasting_…`` counts are made of
    what lasts: the two worst looks count as the third worst does. They are never above the true
    counts, so that a test of "too many" stays right with them.

    ``latencies``: answered requests by ``latency_bin``. ``scores``: rows by ``score_bins``, with
    weights such that those of a look weigh no more than its requests, because rows of one request
    are alike.
    """

    def __init__(self) -> None:
        self.answered = self.failed = self.refused = 0
        self.compared = self.disagreed = 0
        self.latencies = np.zeros(LATENCY_BINS, np.int64)
        self.scores: dict[int, float] = {}
        self._worst_failed = self._worst_refused = np.zeros(BURST + 1, np.int64)
        self._worst_slower = np.zeros((BURST + 1, LATENCY_BINS), np.int64)

    def add(self, look: Sample) -> None:
        """Put a look to what there is."""
        self.answered += look.answered
        self.failed += look.failed
        self.refused += look.refused
        self.add_copies(look)
        self._worst_failed = _worst(self._worst_failed, look.failed)
        self._worst_refused = _worst(self._worst_refused, look.refused)
        if look.latencies:
            counts = np.zeros(LATENCY_BINS, np.int64)
            numbers = np.clip(list(look.latencies), 0, LATENCY_BINS - 1)
            np.add.at(counts, numbers, list(look.latencies.values()))
            self.latencies += counts
            self._worst_slower = np.sort(
                np.vstack([self._worst_slower, slower(counts)[None]]), axis=0
            )[1:]
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
        return self.answered + self.failed

    @property
    def asked(self) -> int:
        return self.accepted + self.refused

    @property
    def timed(self) -> int:
        """Requests with a latency."""
        return int(self.latencies.sum())

    @property
    def scored(self) -> float:
        """The weight of all scores: independent ones, in number."""
        return sum(self.scores.values())

    def lasting_failed(self) -> int:
        return self.failed - _burst(self._worst_failed)

    def lasting_refused(self) -> int:
        return self.refused - _burst(self._worst_refused)

    def slower(self, number: int) -> int:
        """Requests in bins above this one."""
        return int(self.latencies[number + 1 :].sum())

    def lasting_slower(self, number: int) -> int:
        return self.slower(number) - _burst(self._worst_slower[:, min(number, LATENCY_BINS - 1)])

    def bin_with_slower(self, most: int) -> int:
        """The lowest bin with at most so many requests in bins above it."""
        return int(np.argmax(slower(self.latencies) <= most))

    def p99_bin(self) -> int | None:
        """The bin of p99; None without requests."""
        return self.bin_with_slower(self.timed // 100) if self.timed else None


def slower(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """By bin, the number of those in bins above it."""
    above: npt.NDArray[np.int64] = counts.sum() - np.cumsum(counts)
    return above


def _worst(worst: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """The largest counts of a look, ascending, with one more."""
    return np.sort(np.append(worst, np.int64(count)))[1:]


def _burst(worst: npt.NDArray[np.int64]) -> int:
    """By how much the worst looks exceed the one after them."""
    return int(worst[1:].sum() - BURST * worst[0])
