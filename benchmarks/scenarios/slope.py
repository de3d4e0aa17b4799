"""The slope of Theil and Sen, with its interval (Sen 1968, Estimates of the regression coefficient
based on Kendall's tau)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Slope", "theil_sen"]

MOST_POINTS = 1000
Z_95 = 1.959964


class Slope(NamedTuple):
    """Of y over x, with its 95 % interval."""

    median: float
    low: float
    high: float


def theil_sen(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Slope:
    """The median slope between all pairs of points; at least three, x ascending.

    Many points are averaged in groups first: neighbours in time say the same twice, and all pairs
    of thousands of points are more than anyone needs.
    """
    if len(x) > MOST_POINTS:
        groups = np.array_split(np.arange(len(x)), MOST_POINTS)
        x, y = (np.array([column[group].mean() for group in groups]) for column in (x, y))
    first, second = np.triu_indices(len(x), 1)
    slopes = np.sort((y[second] - y[first]) / (x[second] - x[first]))
    count = len(x)
    spread = Z_95 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))
