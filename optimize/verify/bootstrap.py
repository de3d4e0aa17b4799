"""How much a metric may truly have dropped: a paired bootstrap, not a point estimate.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 16: both models are scored
on the same resamples, so what the rows have in common cancels out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimize.errors import OptimizeError
from optimize.verify.metrics import Score

__all__ = ["Drop", "metric_drop"]

SEED = 20_240_601
MAX_UNDEFINED = 0.1
"""Share of resamples for which a metric may be undefined (no row of a rare class was drawn)."""


@dataclass(frozen=True)
class Drop:
    """The original's and the candidate's metric, their difference and its upper bound."""

    original: float
    candidate: float
    drop: float
    bound: float


def metric_drop(
    name: str, original: Score, candidate: Score, rows: int, resamples: int, confidence: float
) -> Drop:
    """The one-sided upper bound of the drop at ``confidence``.

    Raises:
        OptimizeError: the metric is NaN, or too often undefined to bound it.
    """
    ones = np.ones(rows)
    whole = original(ones), candidate(ones)
    if not np.isfinite(whole[0]):
        raise OptimizeError(
            step="verify",
            problem=f"metric {name} of the original is {whole[0]}",
            remedy="look for NaN among targets and predictions, or for a class without rows",
        )
    if not np.isfinite(whole[1]):
        return Drop(whole[0], whole[1], float("inf"), float("inf"))
    rng = np.random.default_rng(SEED)
    drops = np.empty(resamples)
    for index in range(resamples):
        weights = np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(np.float64)
        drops[index] = original(weights) - candidate(weights)
    defined = drops[np.isfinite(drops)]
    if len(defined) < (1 - MAX_UNDEFINED) * resamples:
        raise OptimizeError(
            step="verify",
            problem=f"metric {name} is undefined for {resamples - len(defined)} of {resamples}"
            " resamples of the evaluation set",
            remedy="give optimize.data.evaluation more rows of the rarest class",
        )
    return Drop(whole[0], whole[1], whole[0] - whole[1], float(np.quantile(defined, confidence)))
