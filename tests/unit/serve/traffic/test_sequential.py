"""Tests that may be looked at all the time: that they are right, exactly and by simulation."""

from __future__ import annotations

from math import comb, exp, log

import numpy as np
import pytest

from serve.traffic.sequential import (
    increase_evidence,
    least_increase,
    most_hits_below,
    rate_bounds,
    rate_evidence,
    threshold_of,
    trials_to_be_below,
)


def chance(hits: int, trials: int, rate: float) -> float:
    return comb(trials, hits) * rate**hits * (1 - rate) ** (trials - hits)


def paths(rate: float, *, number: int = 2000, trials: int = 1500) -> np.ndarray:
    """Hits so far after each trial, of many series."""
    random = np.random.default_rng(7)
    return np.cumsum(random.random((number, trials)) < rate, axis=1)


def fewest_hits_that_refute(limit: float, alpha: float, trials: int) -> np.ndarray:
    """After each trial, the hits from which on "the rate is at most ``limit``" is refuted."""
    wanted, hits, fewest = threshold_of(alpha), 0, []
    for seen in range(1, trials + 1):
        while hits <= seen and rate_evidence(hits, seen, limit) < wanted:
            hits += 1
        fewest.append(hits)
    return np.array(fewest)


@pytest.mark.parametrize("limit", [0.01, 0.1, 0.5])
def test_a_rate_at_the_limit_is_hardly_ever_refuted_however_often_one_looks(limit: float) -> None:
    seen = paths(limit)
    fewest = fewest_hits_that_refute(limit, 0.1, seen.shape[1])
    refuted = (seen >= fewest).any(axis=1).mean()
    assert 0.005 < refuted <= 0.1


def test_peeking_at_a_mean_would_refute_it_often() -> None:
    seen, trials = paths(0.1), np.arange(1, 1501)
    normal = (seen / trials - 0.1) / np.sqrt(0.09 / trials)
    assert (normal[:, 100:] > 1.2816).any(axis=1).mean() > 0.4  # the 10 % test of one look


@pytest.mark.parametrize("trials", [1, 7, 40])
@pytest.mark.parametrize("limit", [0.01, 0.3])
def test_the_mean_of_the_ratio_is_at_most_one_at_the_limit(trials: int, limit: float) -> None:
    mean = sum(
        chance(hits, trials, limit) * exp(rate_evidence(hits, trials, limit))
        for hits in range(trials + 1)
    )
    assert mean <= 1 + 1e-12


@pytest.mark.parametrize("base", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("limit", [0.0, 0.01, 0.2])
@pytest.mark.parametrize(("trials", "base_trials"), [(12, 12), (5, 30)])
def test_the_mean_of_the_ratio_of_two_rates_is_at_most_one_at_the_limit(
    base: float, limit: float, trials: int, base_trials: int
) -> None:
    mean = sum(
        chance(hits, trials, base + limit)
        * chance(base_hits, base_trials, base)
        * exp(increase_evidence(hits, trials, base_hits, base_trials, limit))
        for hits in range(trials + 1)
        for base_hits in range(base_trials + 1)
    )
    assert mean <= 1 + 1e-9


def test_an_increase_at_the_limit_is_hardly_ever_refuted_however_often_one_looks() -> None:
    new, stable = paths(0.11, number=200), paths(0.1, number=400)[200:]
    wanted = threshold_of(0.1)
    refuted = [
        any(
            increase_evidence(int(a[n]), n + 1, int(b[n]), n + 1, 0.01) >= wanted
            for n in range(9, 1500, 30)
        )
        for a, b in zip(new, stable, strict=True)
    ]
    assert sum(refuted) <= 20


def test_the_worst_pair_of_rates_is_found() -> None:
    found = increase_evidence(12, 60, 3, 180, 0.01)
    grid = np.linspace(1e-6, 0.5, 20001)
    likely = [
        hits * np.log(rate) + (trials - hits) * np.log1p(-rate)
        for hits, trials, rate in ((3, 180, grid), (12, 60, grid + 0.01))
    ]
    best = (likely[0] + likely[1]).max()
    alone = [
        rate_evidence(hits, trials, 0.001) + hits * log(0.001) + (trials - hits) * np.log1p(-0.001)
        for hits, trials in ((3, 180), (12, 60))
    ]
    assert found == pytest.approx(sum(alone) - best, abs=1e-3)


def test_bounds_hold_what_was_seen_and_shrink() -> None:
    widths = []
    for trials in (10, 100, 1000, 10_000):
        low, high = rate_bounds(trials * 0.2, trials, 0.01)
        assert low < 0.2 < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.05


def test_bounds_without_trials_are_all_rates() -> None:
    assert rate_bounds(0, 0, 0.01) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (5, 5), (3, 60), (500, 501), (10**6, 10**9)])
def test_the_lower_bound_is_where_evidence_begins(hits: int, trials: int) -> None:
    low, high = rate_bounds(hits, trials, 0.01)
    assert 0 <= low <= hits / trials <= high <= 1
    assert rate_evidence(hits, trials, low * 0.999) >= threshold_of(0.01) or hits == 0
    assert rate_evidence(hits, trials, low + (hits / trials - low) * 1e-3) <= threshold_of(0.01)


def test_no_trials_are_no_evidence() -> None:
    assert rate_evidence(0, 0, 0.1) == 0
    assert increase_evidence(0, 0, 5, 10, 0.1) == 0
    assert increase_evidence(60, 60, 0, 0, 0.1) <= 0


def test_what_cannot_be_is_refuted_at_once() -> None:
    assert rate_evidence(1, 10, 0.0) == float("inf")


def test_the_least_increase_is_what_evidence_allows() -> None:
    counts = (30, 100, 20, 1000)
    least = least_increase(*counts, 0.01)
    assert 0.02 < least < 0.28
    assert increase_evidence(*counts, least * 0.99) >= threshold_of(0.01)
    assert increase_evidence(*counts, least * 1.01) < threshold_of(0.01)
    assert least_increase(1, 100, 20, 1000, 0.01) == 0
    assert least_increase(0, 0, 20, 1000, 0.01) == 0


@pytest.mark.parametrize("trials", [100, 900, 5000])
def test_the_most_hits_below_a_rate_are_those_whose_upper_bound_is_below_it(trials: int) -> None:
    most = most_hits_below(trials, 0.01, 0.05)
    assert rate_bounds(most + 1, trials, 0.05)[1] > 0.01
    assert most < 0 or rate_bounds(most, trials, 0.05)[1] <= 0.01


def test_a_rate_above_the_limit_is_hardly_ever_taken_for_one_below() -> None:
    seen = paths(0.05)
    most = np.array([most_hits_below(n, 0.05, 0.1) for n in range(1, seen.shape[1] + 1)])
    assert (seen <= most).any(axis=1).mean() <= 0.1


def test_the_trials_that_show_a_rate_to_be_small_just_suffice() -> None:
    needed = trials_to_be_below(0.01, 0.005)
    assert most_hits_below(needed, 0.01, 0.005) == 0
    assert most_hits_below(needed - 1, 0.01, 0.005) == -1
