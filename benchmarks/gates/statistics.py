"""The statistics of verdicts: a paired bootstrap of ratios, and floors for percentiles.

Two questions are answered here, each with an interval or a floor rather than a bare number:

- *Did the candidate get slower than the baseline?* Rounds are interleaved, so each pair saw the
  same neighbours; the logarithms of the pairs' ratios are resampled (Efron 1979). The statistic is
  their mean without the outermost fifths, which one disturbed round cannot move; the interval is
  widened for small samples (Hesterberg 2015, "expanded percentile").
- *Does a percentile keep its bound?* Each request is over the bound or not, so the number over it
  is binomial, and the verdict is MLPerf LoadGen's early stopping: how many queries are needed to
  be sure, given how many were over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = [
    "RatioInterval",
    "binomial_cdf",
    "early_stopping_floor",
    "keeps_percentile",
    "misses_percentile",
    "paired_ratio",
]

RESAMPLES = 10_000
TRIM = 0.2
"""Part of the pairs left out at either end."""
MIN_PAIRS = 8
"""Fewer pairs than this decide nothing: their resamples repeat themselves."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """Candidate over baseline, with its confidence interval."""

    ratio: float
    low: float
    high: float
    pairs: int
    confidence: float


def paired_ratio(
    candidate: Sequence[float], baseline: Sequence[float], *, confidence: float, seed: int
) -> RatioInterval:
    """The ratio of paired rounds and its interval, the same for the same seed.

    Raises:
        ValueError: fewer than 8 pairs, unequal lengths, or a value that is not above 0.
    """
    values = np.array([candidate, baseline], np.float64)
    if values.shape[1] < MIN_PAIRS:
        raise ValueError(f"{values.shape[1]} pairs of rounds decide nothing: at least {MIN_PAIRS}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("a ratio needs finite figures above 0 in every round")
    logs = np.log(values[0] / values[1])
    count = len(logs)
    rng = np.random.default_rng(seed)
    resampled = _trimmed_means(logs[rng.integers(0, count, (RESAMPLES, count))])
    tail = _expanded_tail(confidence, count)
    low, high = np.quantile(resampled, (tail, 1 - tail))
    centre = _trimmed_means(logs[np.newaxis])[0]
    return RatioInterval(
        math.exp(centre), math.exp(low), math.exp(high), pairs=count, confidence=confidence
    )


def _trimmed_means(rows: Floats) -> Floats:
    ordered = np.sort(rows, axis=1)
    cut = int(TRIM * rows.shape[1])
    return np.asarray(ordered[:, cut : rows.shape[1] - cut].mean(axis=1))


def _expanded_tail(confidence: float, count: int) -> float:
    """The tail to cut off, smaller than (1 - confidence) / 2 as resamples vary too little."""
    normal = NormalDist()
    student = _student_quantile((1 + confidence) / 2, count - 1)
    return normal.cdf(-math.sqrt(count / (count - 1)) * student)


def _student_quantile(probability: float, freedom: int) -> float:
    """Student's t by its expansion in 1/freedom (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


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
