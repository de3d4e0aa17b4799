"""What was seen of one version over some time: counts that can be added up over gateways."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = [
    "OutcomeSums",
    "Sample",
    "latency_bin",
    "latency_bin_ms",
    "latency_bins",
    "quantile_bin",
    "score_bins",
    "score_of_bin",
]

PER_OCTAVE = 8
"""Bins of latencies between one and its double: 9 % wide."""
SCORE_PARTS = 32
"""Bins of scores between one and its double; they are equally wide there."""
TINY = 2.0**-40
"""Scores nearer to 0 are 0."""


class OutcomeSums(msgspec.Struct, frozen=True):
    """What became of predictions, as callers have said: number, sum and sum of squares."""

    number: int = 0
    total: float = 0.0
    squares: float = 0.0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one version.

    ``answered``, ``failed``: accepted requests by how they ended; ``refused``: those that were not
    accepted. ``stood_in``: requests it was given in place of a version that was not ready;
    ``unkeyed``: those it was given by chance, because they lack what callers are told apart by.
    ``latencies``: answered requests by ``latency_bin``. ``scores``: rows by
    ``score_bins``. ``compared``, ``disagreed``: shadow copies; ``dropped``: copies that were not
    made because of the load, ``shadow_failed``: those that got an error; ``distance_sum``: of the
    largest difference of each, ``distance_max``: the largest; ``shadow_ns`` and ``primary_ns``:
    time to execute the copies, and the requests they are of.
    """

    answered: int = 0
    failed: int = 0
    refused: int = 0
    stood_in: int = 0
    unkeyed: int = 0
    latencies: Mapping[int, int] = {}
    scores: Mapping[int, int] = {}
    compared: int = 0
    disagreed: int = 0
    dropped: int = 0
    shadow_failed: int = 0
    distance_sum: float = 0.0
    distance_max: float = 0.0
    shadow_ns: int = 0
    primary_ns: int = 0
    outcomes: OutcomeSums = OutcomeSums()

    def plus(self, other: Sample) -> Sample:
        """Both together."""
        return _combined(self, other, 1)

    def minus(self, earlier: Sample) -> Sample:
        """What came after ``earlier``, of the same counters; ``distance_max`` stays."""
        return _combined(self, earlier, -1)

    def quantile_ms(self, share: float) -> float | None:
        """A quantile of the latencies in ms, the upper end of its bin; None: there are none."""
        number = quantile_bin(self.latencies, share)
        return None if number is None else latency_bin_ms(number)


def quantile_bin(counts: Mapping[int, int], share: float) -> int | None:
    """The bin in which a quantile of what was counted lies; None: nothing was."""
    wanted = math.ceil(share * sum(counts.values()))
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= max(1, wanted):
            return number
    return None


def latency_bin(duration_ns: int) -> int:
    """The bin of a duration."""
    return math.ceil(math.log2(max(1, duration_ns)) * PER_OCTAVE)


def latency_bins(durations_ns: Sequence[int]) -> dict[int, int]:
    """Durations, counted by bin."""
    values = np.maximum(1, np.array(durations_ns, np.float64))
    return _counted(np.ceil(np.log2(values) * PER_OCTAVE).astype(np.int64))


def latency_bin_ms(number: int) -> float:
    """The upper end of a bin."""
    return math.exp2(number / PER_OCTAVE) / 1e6


def score_bins(scores: npt.NDArray[np.floating]) -> dict[int, int]:
    """Numbers of any shape, counted by bin: those of equal sign and octave share 32 bins.

    Bins ascend with the scores. NaN has a bin below all others, infinities the outermost.
    """
    values = scores.astype(np.float64).ravel()
    small = np.abs(values) < TINY
    mantissa, exponent = np.frexp(np.where(np.isfinite(values), np.abs(values), 1.0))
    part = np.floor((mantissa - 0.5) * 2 * SCORE_PARTS).astype(np.int64)
    bins = (exponent.astype(np.int64) + 40) * SCORE_PARTS + part + 1
    bins = np.where(values < 0, -bins, bins)
    bins = np.where(small, 0, bins)
    bins = np.where(np.isposinf(values), 2**20, bins)
    bins = np.where(np.isneginf(values), -(2**20), bins)
    bins = np.where(np.isnan(values), -(2**21), bins)
    return _counted(bins)


def _counted(bins: npt.NDArray[np.int64]) -> dict[int, int]:
    numbers, counts = np.unique(bins, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def score_of_bin(number: int) -> float:
    """The end of a bin that is nearer to 0."""
    if number in (2**20, -(2**20)):
        return math.copysign(math.inf, number)
    if number == -(2**21):
        return math.nan
    if number == 0:
        return 0.0
    octave, part = divmod(abs(number) - 1, SCORE_PARTS)
    return math.copysign((0.5 + part / SCORE_PARTS / 2) * 2.0 ** (octave - 40), number)


def _combined(one: Sample, other: Sample, sign: int) -> Sample:
    def both(name: str) -> Mapping[int, int]:
        mine, theirs = getattr(one, name), getattr(other, name)
        counts = {k: mine.get(k, 0) + sign * theirs.get(k, 0) for k in {*mine, *theirs}}
        return {number: count for number, count in counts.items() if count}

    plain = (
        "answered",
        "failed",
        "refused",
        "stood_in",
        "unkeyed",
        "compared",
        "disagreed",
        "dropped",
        "shadow_failed",
        "distance_sum",
        "shadow_ns",
        "primary_ns",
    )
    mine, theirs = one.outcomes, other.outcomes
    return Sample(
        **{name: getattr(one, name) + sign * getattr(other, name) for name in plain},
        latencies=both("latencies"),
        scores=both("scores"),
        distance_max=max(one.distance_max, other.distance_max) if sign > 0 else one.distance_max,
        outcomes=OutcomeSums(
            mine.number + sign * theirs.number,
            mine.total + sign * theirs.total,
            mine.squares + sign * theirs.squares,
        ),
    )
