"""The statistics that verdicts rest on, against published figures and by simulation."""

import numpy as np
import pytest

from benchmarks.gates.statistics import (
    binomial_cdf,
    early_stopping_floor,
    keeps_percentile,
    misses_percentile,
    paired_ratio,
)


def rounds(ratio: float, spread: float, seed: int, count: int = 24):
    """Paired rounds with a common drift, and noise of their own of this relative size."""
    rng = np.random.default_rng(seed)
    drift = np.exp(rng.normal(0, 0.2, count)) * 26
    return (
        list(drift * ratio * np.exp(rng.normal(0, spread, count))),
        list(drift * np.exp(rng.normal(0, spread, count))),
    )


@pytest.mark.parametrize(("over", "floor"), [(0, 459), (1, 662), (50, 6898), (500, 55427)])
def test_early_stopping_floor_is_that_of_mlperf_for_p99(over, floor):
    assert early_stopping_floor(over, 0.99, 0.99) == floor


def test_early_stopping_floor_is_that_of_mlperf_for_p90():
    assert early_stopping_floor(0, 0.90, 0.99) == 44
    assert early_stopping_floor(1, 0.90, 0.99) == 64


@pytest.mark.parametrize(
    ("successes", "trials", "probability", "expected"),
    [(2, 5, 0.5, 0.5), (-1, 5, 0.5, 0.0), (5, 5, 0.5, 1.0), (300, 30_000, 0.01, 0.51534)],
)
def test_binomial_cdf_agrees_with_exact_values(successes, trials, probability, expected):
    assert binomial_cdf(successes, trials, probability) == pytest.approx(expected, abs=1e-5)


def test_percentile_at_its_bound_is_neither_kept_nor_missed():
    assert not keeps_percentile(300, 30_000, 0.99, 0.99)
    assert not misses_percentile(300, 30_000, 0.99, 0.99)


def test_percentile_is_decided_on_either_side_of_its_bound():
    assert keeps_percentile(250, 30_000, 0.99, 0.99)
    assert misses_percentile(350, 30_000, 0.99, 0.99)
    assert not misses_percentile(0, 10, 0.99, 0.99)


def test_paired_ratio_ignores_what_both_of_a_pair_suffer():
    found = paired_ratio(*rounds(1.0, 0.01, seed=3), confidence=0.95, seed=1)
    assert found.low < 1.0 < found.high
    assert found.high / found.low < 1.03


def test_paired_ratio_repeats_for_a_seed():
    pair = rounds(1.05, 0.05, seed=4)
    assert paired_ratio(*pair, confidence=0.95, seed=7) == paired_ratio(
        *pair, confidence=0.95, seed=7
    )


def test_paired_ratio_covers_the_truth_as_often_as_it_says():
    covered = 0
    for seed in range(300):
        found = paired_ratio(*rounds(1.10, 0.08, seed), confidence=0.95, seed=seed)
        covered += found.low <= 1.10 <= found.high
    assert 0.93 <= covered / 300 <= 0.99


def test_paired_ratio_is_not_moved_by_one_disturbed_round():
    candidate, baseline = rounds(1.0, 0.01, seed=5)
    candidate[3] *= 4
    assert paired_ratio(candidate, baseline, confidence=0.95, seed=1).ratio < 1.01


@pytest.mark.parametrize(
    ("candidate", "baseline", "words"),
    [([1.0] * 7, [1.0] * 7, "at least 8"), ([0.0] * 8, [1.0] * 8, "above 0")],
)
def test_paired_ratio_refuses_what_decides_nothing(candidate, baseline, words):
    with pytest.raises(ValueError, match=words):
        paired_ratio(candidate, baseline, confidence=0.95, seed=1)
