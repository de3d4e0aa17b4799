"""A rounded graph answers with noise around what it was made from, not with a factor of it.

A metric that ranks rows sees no factor at all, and one that scores probabilities hardly sees a
small one; who takes a decision at a threshold does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from optimize.gates import Gate
from serve.tensors import Array

__all__ = ["scale_gate"]

TAIL = 0.02
"""Probabilities nearer to 0 or 1 have log-odds that any noise throws about."""
FEWEST = 16


def scale_gate(got: Mapping[str, Array], wanted: Mapping[str, Array], limit: float) -> Gate:
    """Of the output whose fitted factor is farthest from one; log-odds stand for probabilities."""
    factors = {
        name: _factor(got[name].reshape(array.shape), array)
        for name, array in wanted.items()
        if array.dtype.kind == "f"
    }
    if not factors:
        return Gate("scale", "pass", limit, 0.0)
    worst = max(factors, key=lambda name: abs(factors[name] - 1))
    off = abs(factors[worst] - 1)
    detail = f"{worst} is {factors[worst]:.3f} times what it was before rounding"
    return Gate("scale", "pass" if off <= limit else "fail", limit, off, detail=detail)


def _factor(got: Array, wanted: Array) -> float:
    """The slope of a least-squares line through the answers; 1 where they do not vary."""
    mine, before = got.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    use = np.isfinite(mine) & np.isfinite(before)
    if before.size and np.all((before[use] >= 0) & (before[use] <= 1)):
        inner = use & (before > TAIL) & (before < 1 - TAIL)
        if inner.sum() >= FEWEST:
            use = inner
            mine, before = _log_odds(mine), _log_odds(before)
    mine, before = mine[use], before[use]
    if len(before) < FEWEST:
        return 1.0
    spread = before - before.mean()
    power = float(spread @ spread)
    return float(spread @ (mine - mine.mean())) / power if power > 0 else 1.0


def _log_odds(probability: Array) -> Array:
    clipped = np.clip(probability, TAIL / 20, 1 - TAIL / 20)
    logits: Array = np.log(clipped / (1 - clipped))
    return logits
