"""Many rounds into one figure: medians, their range, and ratios of paired rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks.result import Figure

__all__ = ["figure", "ratio"]

RESAMPLES = 2000


def figure(name: str, values: Sequence[float], unit: str = "") -> Figure:
    """The median, between the lowest and the highest value."""
    return Figure(name, statistics.median(values), unit, min(values), max(values))


def ratio(name: str, numerators: Sequence[float], denominators: Sequence[float]) -> Figure:
    """The median ratio of paired rounds, with a 95 % bootstrap interval.

    Rounds are paired because the two of a pair ran one after the other: what the neighbours did
    to one they did to the other, and it cancels out.
    """
    ratios = np.array([a / b for a, b in zip(numerators, denominators, strict=True)])
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), (2.5, 97.5))
    return Figure(name, float(np.median(ratios)), "×", float(low), float(high))
