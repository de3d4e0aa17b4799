"""Many rounds into one figure: paired ratios, with an interval."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Ratio", "medians", "ratio"]

RESAMPLES = 2000


class Ratio(NamedTuple):
    """The median ratio of paired rounds, with a 95 % bootstrap interval."""

    median: float
    low: float
    high: float


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """How the two contenders of each round compare.

    Rounds are paired because the two of a pair ran one after the other: what the neighbours did
    to one they did to the other, and it cancels out.
    """
    ratios = np.array([a / b for a, b in zip(numerators, denominators, strict=True)])
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), (2.5, 97.5))
    return Ratio(float(np.median(ratios)), float(low), float(high))


def medians(rounds: Sequence[dict[str, float]], prefix: str = "") -> dict[str, float]:
    """The median of each metric over the rounds."""
    return {f"{prefix}{name}": statistics.median(one[name] for one in rounds) for name in rounds[0]}
