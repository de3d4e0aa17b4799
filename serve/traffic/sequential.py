"""What counts say of rates, however often one looks: tests that stay right under peeking.

All of it is one idea (Ville 1939; Robbins 1970, "Statistical methods related to the law of the
iterated logarithm"; Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric,
nonasymptotic confidence sequences"). For trials that hit with probability p, the likelihood of
what was seen, averaged over a prior and divided by that under p, is a martingale that starts at 1.
The chance that it ever reaches 1/alpha is at most alpha, over all looks together. Its logarithm is
called evidence here; evidence of ``log(1 / alpha)`` or more refutes p at level alpha.

For two series of trials the product of both is a martingale too, and what is refuted is a pair of
rates (Turner, Ly and Grünwald 2024, "Generic E-variables for exact sequential k-sample tests that
allow for optional stopping"). A statement about both is refuted if each pair that satisfies it is.

Trials may also be numbers from 0 to 1 with mean p in place of hits, so hits need not be whole:
``exp`` is convex, so that nothing exceeds what 0 and 1 would give.
"""

from __future__ import annotations

import math
from functools import lru_cache

__all__ = [
    "increase_evidence",
    "least_increase",
    "most_hits_below",
    "rate_bounds",
    "rate_evidence",
    "threshold_of",
    "trials_to_be_below",
]

PRIORS = ((0.5, 0.5), (0.5, 50.0))
"""Beta priors of a rate, half each: one for any rate, and one for rates about 1 %."""
HALVINGS = 40


def threshold_of(alpha: float) -> float:
    """The evidence that refutes at level ``alpha``."""
    return -math.log(alpha)


def rate_evidence(hits: float, trials: float, limit: float) -> float:
    """The evidence against "the rate is at most ``limit``"."""
    return _against(hits, trials, min(limit, hits / trials)) if trials else 0.0


def rate_bounds(hits: float, trials: float, alpha: float) -> tuple[float, float]:
    """Bounds of a rate which hold at all times together, with probability 1 - ``alpha``."""
    if not trials:
        return 0.0, 1.0
    share, wanted = hits / trials, threshold_of(alpha)
    low, high = 0.0, 1.0
    if hits:
        low, inside = 0.0, share
        for _ in range(HALVINGS):
            middle = (low + inside) / 2
            outside = _against(hits, trials, middle) >= wanted
            low, inside = (middle, inside) if outside else (low, middle)
    if hits < trials:
        inside, high = share, 1.0
        for _ in range(HALVINGS):
            middle = (inside + high) / 2
            outside = _against(hits, trials, middle) >= wanted
            inside, high = (inside, middle) if outside else (middle, high)
    return low, high


def increase_evidence(
    hits: float, trials: float, base_hits: float, base_trials: float, limit: float
) -> float:
    """The evidence against "the rate is at most ``limit`` above that of the base".

    It is that against the likeliest pair of rates which differ by no more. Evidence is convex in
    the pair, so that one is found by halving.
    """
    if not trials:
        return 0.0
    share = hits / trials
    low, high = (base_hits / base_trials if base_trials else 0.0), share - limit
    if low >= high:
        return 0.0
    misses, base_misses = trials - hits, base_trials - base_hits
    for _ in range(HALVINGS):
        base = (low + high) / 2
        rate = base + limit
        slope = (
            base_misses / (1 - base) - base_hits / base + misses / (1 - rate) - hits / rate
            if rate < 1
            else math.inf
        )
        low, high = (low, base) if slope > 0 else (base, high)
    base = (low + high) / 2
    return _against(base_hits, base_trials, base) + _against(hits, trials, base + limit)


def least_increase(
    hits: float, trials: float, base_hits: float, base_trials: float, alpha: float
) -> float:
    """How far the rate is above that of the base at least, at level ``alpha``; 0 if it may not."""
    if not trials:
        return 0.0
    wanted = threshold_of(alpha)
    low, high = 0.0, hits / trials
    for _ in range(HALVINGS // 2):
        middle = (low + high) / 2
        refuted = increase_evidence(hits, trials, base_hits, base_trials, middle) >= wanted
        low, high = (middle, high) if refuted else (low, middle)
    return low


@lru_cache(maxsize=1024)
def most_hits_below(trials: int, limit: float, alpha: float) -> int:
    """The most hits with which the rate is below ``limit`` at level ``alpha``; -1: no number is."""
    wanted = threshold_of(alpha)
    low, high = -1, math.floor(trials * limit)
    while low < high:
        middle = (low + high + 1) // 2
        if middle < trials * limit and _against(middle, trials, limit) >= wanted:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=1024)
def trials_to_be_below(limit: float, alpha: float) -> int:
    """The trials without a hit that show, at level ``alpha``, that the rate is below ``limit``."""
    low, high = 0, 1
    while most_hits_below(high, limit, alpha) < 0:
        low, high = high, high * 2
    while low + 1 < high:
        middle = (low + high) // 2
        if most_hits_below(middle, limit, alpha) < 0:
            low = middle
        else:
            high = middle
    return high


def _against(hits: float, trials: float, rate: float) -> float:
    """The evidence against a rate."""
    misses = trials - hits
    if (rate <= 0 and hits) or (rate >= 1 and misses):
        return math.inf
    likely = 0.0
    if hits:
        likely += hits * math.log(rate)
    if misses:
        likely += misses * math.log1p(-rate)
    return _averaged(hits, misses) - likely


def _averaged(hits: float, misses: float) -> float:
    """The logarithm of the likelihood of a series of trials, averaged over the priors."""
    parts = [_log_beta(a + hits, b + misses) - _log_beta(a, b) for a, b in PRIORS]
    largest = max(parts)
    return largest + math.log(sum(math.exp(part - largest) for part in parts) / len(parts))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
