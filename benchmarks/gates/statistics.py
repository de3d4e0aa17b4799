"""The statistics of verdicts: an interval for paired ratios, and floors for percentiles.

Two questions are answered here, each with an interval or a floor rather than a bare number:

- *Did the candidate get slower than the baseline?* Rounds are interleaved, so each pair saw the
  same neighbours. Pairs of one start of the servers share the luck of its processes, so they are
  summed up by their median, which one disturbed pair cannot move, and the starts are what is
  counted: Student's interval of the mean of their logarithms. A bootstrap of so few starts comes
  out too narrow, and one that takes pairs for independent all the more.
- *Does a percentile keep its bound?* Each request is over the bound or not, so the number over it
  is binomial, and the verdict is MLPerf LoadGen's early stopping: how many queries are needed to
  be sure, given how many were over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "MIN_STARTS",
    "RatioInterval",
    "binomial_cdf",
    "early_stopping_floor",
    "keeps_percentile",
    "misses_percentile",
    "paired_ratio",
    "student_quantile",
]

MIN_STARTS = 4
"""Fewer starts decide nothing: the interval of three is five times as wide as their spread."""


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """Candidate over baseline, with its confidence interval."""

    ratio: float
    low: float
    high: float
    pairs: int
    starts: int
    confidence: float


def paired_ratio(
    candidate: Sequence[float],
    baseline: Sequence[float],
    starts: Sequence[int],
    *,
    confidence: float,
) -> RatioInterval:
    """The ratio of paired rounds, each of one of the ``starts`` of the servers, and its interval.

    Raises:
        ValueError: fewer than 4 starts, unequal lengths, or a value that is not above 0.
    """
    values, of_start = np.array([candidate, baseline], np.float64), np.array(starts)
    if len(of_start) != values.shape[1]:
        raise ValueError(f"{values.shape[1]} pairs of rounds, but {len(of_start)} starts of them")
    numbers = np.unique(of_start)
    if len(numbers) < MIN_STARTS:
        raise ValueError(
            f"pairs of rounds from {len(numbers)} starts of the servers decide nothing: at least"
            f" {MIN_STARTS} (`starts` of `ab_cpu`)"
        )
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("a ratio needs finite figures above 0 in every round")
    logs = np.log(values[0] / values[1])
    by_start = np.array([np.median(logs[of_start == number]) for number in numbers])
    count = len(numbers)
    centre, error = float(by_start.mean()), float(by_start.std(ddof=1)) / math.sqrt(count)
    half = student_quantile((1 + confidence) / 2, count - 1) * error
    return RatioInterval(
        ratio=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        pairs=len(logs),
        starts=count,
        confidence=confidence,
    )


def student_quantile(probability: float, freedom: int) -> float:
    """Student's t that is exceeded with 1 - probability; for probabilities above 0.5.

    By bisection of the distribution, which has a closed form for whole degrees of freedom.
    """
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < probability:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        if student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def student_cdf(value: float, freedom: int) -> float:
    """P(T <= value) of Student's t (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(value / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    terms = [term] if freedom > 1 else []
    for number in range(2 + odd, freedom - 1, 2):
        term *= math.cos(angle) ** 2 * (number - 1) / number
        terms.append(term)
    inside = math.sin(angle) * math.fsum(terms)
    if odd:
        inside = 2 / math.pi * (angle + inside)
    return 0.5 + inside / 2


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """P(X <= successes), for a probability strictly between 0 and 1."""
    if successes >= trials:
        return 1.0
    if successes < 0:
        return 0.0
    index = np.arange(successes, dtype=np.float64)
    steps = np.log((trials - index) / (index + 1)) + math.log(probability / (1 - probability))
    logs = np.concatenate(([0.0], np.cumsum(steps))) + trials * math.log1p(-probability)
    peak = float(logs.max())
    return min(1.0, math.exp(peak) * float(np.exp(logs - peak).sum()))


def keeps_percentile(over: int, queries: int, percentile: float, confidence: float) -> bool:
    """Whether ``over`` of ``queries`` above the bound prove that the percentile is below it.

    They do if so few would come by chance, less often than 1 - confidence, from a server whose
    percentile is just at the bound.
    """
    return binomial_cdf(over, queries, 1 - percentile) <= 1 - confidence


def misses_percentile(over: int, queries: int, percentile: float, confidence: float) -> bool:
    """Whether so many over the bound prove that the percentile is above it."""
    at_least = 1 - binomial_cdf(over - 1, queries, 1 - percentile)
    return over > 0 and at_least <= 1 - confidence


def early_stopping_floor(over: int, percentile: float, confidence: float) -> int:
    """The fewest queries that prove the percentile's bound when ``over`` of them are above it."""
    low, high = over, max(1, over)
    while not keeps_percentile(over, high, percentile, confidence):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if keeps_percentile(over, middle, percentile, confidence):
            high = middle
        else:
            low = middle
    return high
