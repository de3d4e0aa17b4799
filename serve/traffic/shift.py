"""How far the scores of two versions lie apart, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from serve.traffic.samples import SCORE_PARTS
from serve.traffic.sequential import increase_evidence, least_increase, threshold_of

__all__ = ["Shift", "distance", "part_of_bin", "shift_of"]

NAN, INFINITE = 2**21, 2**20
NOTABLE = (-NAN, -INFINITE, -1, 0, INFINITE - 1)
"""The bins after which NaN, -inf, negative numbers and zeros end, and +inf begins."""
ONE = 41 * SCORE_PARTS
"""The bin just below 1."""


class Shift(msgspec.Struct, frozen=True):
    """``distance``: of Kolmogorov and Smirnov, as seen. ``at_least``: what it is at the level asked
    for, if that is above the limit, else 0."""

    distance: float
    at_least: float


def distance(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """The largest difference of the shares of scores up to any bin (Kolmogorov and Smirnov), 0 to
    1; 0 if one has none."""
    if not one or not other:
        return 0.0
    _, mine, theirs = _shares(one, other)
    return float(np.abs(mine - theirs).max())


def shift_of(
    new: Mapping[int, float], stable: Mapping[int, float], limit: float, alpha: float
) -> Shift:
    """What is known of the distance of the scores of two versions, by ``score_bins``.

    Counts may be weights, as long as they add up to the number of scores that are independent of
    each other. "At most ``limit``" is a statement on the shares of scores up to each bin, and
    refuted if it is for one. Bins have parts of ``alpha``, fixed beforehand, which add up to 1 at
    most.
    """
    if not new or not stable:
        return Shift(0.0, 0.0)
    bins, mine, theirs = _shares(new, stable)
    gaps = np.abs(mine - theirs)
    seen = float(gaps.max())
    if seen <= limit:
        return Shift(seen, 0.0)
    trials, base_trials = sum(new.values()), sum(stable.values())
    # Any choice of bins is right, as each has its part; these are the likeliest to tell.
    middle = (mine + theirs) / 2
    spread = np.sqrt(np.maximum(middle * (1 - middle), 1e-9))
    for place in {int(gaps.argmax()), int((np.maximum(gaps - limit, 0) / spread).argmax())}:
        end = int(bins[place + 1]) if place + 1 < len(bins) else int(bins[place]) + 1
        level = alpha * _part(int(bins[place]), end)
        share, base = float(mine[place]), float(theirs[place])
        if share < base:  # the same of the scores above
            share, base = 1 - share, 1 - base
        seen_at = (share * trials, trials, base * base_trials, base_trials)
        if increase_evidence(*seen_at, limit) >= threshold_of(level):
            return Shift(seen, max(limit, least_increase(*seen_at, level)))
    return Shift(seen, 0.0)


def _shares(
    one: Mapping[int, float], other: Mapping[int, float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """All bins that occur, ascending, and of each the share of scores up to it, of both."""
    numbers = np.fromiter((*one, *other), np.int64, len(one) + len(other))
    weights = np.zeros((2, len(numbers)))
    weights[0, : len(one)] = np.fromiter(one.values(), float, len(one))
    weights[1, len(one) :] = np.fromiter(other.values(), float, len(other))
    order = np.argsort(numbers)
    numbers = numbers[order]
    reached = np.cumsum(weights[:, order], axis=1)
    whole = np.append(numbers[1:] != numbers[:-1], True)  # the last of a bin that both have
    mine, theirs = reached[:, whole] / reached[:, -1:]
    return numbers[whole], mine, theirs


def _part(first: int, end: int) -> float:
    """The part of alpha of "up to this bin", for the best of the bins from ``first`` to before
    ``end``: up to each of them lie the same scores."""
    near = (min(max(first, wanted), end - 1) for wanted in (*NOTABLE, ONE, -ONE))
    return max(part_of_bin(number) for number in near)


def part_of_bin(number: int) -> float:
    """Sixteenths for the notable bins; half for the others, less the farther they are from 1:
    1 / (1 + octaves)^2, which adds up to less than 2.3, times the bins of an octave and signs."""
    if number in NOTABLE:
        return 1 / 16
    octaves = abs((abs(number) - 1) // SCORE_PARTS - 40)
    return 0.5 / (2.3 * 2 * SCORE_PARTS * (1 + octaves) ** 2)
