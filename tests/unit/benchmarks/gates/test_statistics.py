"""The statistics that verdicts rest on, against published figures and by simulation."""

import numpy as np
import pytest

from benchmarks.gates.statistics import (
    binomial_cdf,
    early_stopping_floor,
    keeps_percentile,
    misses_percentile,
    paired_ratio,
    student_quantile,
)

STARTS = np.repeat(np.arange(8), 3)


def rounds(ratio: float, spread: float, seed: int, of_start: float = 0.0, starts=STARTS):
    """Paired rounds with a common drift, noise of their own of this relative size, and luck."""
    rng = np.random.default_rng(seed)
    drift = np.exp(rng.normal(0, 0.2, len(starts))) * 26
    luck = rng.normal(0, of_start, starts.max() + 1)[starts]
    return (
        list(drift * ratio * np.exp(luck + rng.normal(0, spread, len(starts)))),
        list(drift * np.exp(rng.normal(0, spread, len(starts)))),
        list(starts),
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
    found = paired_ratio(*rounds(1.0, 0.01, seed=3), confidence=0.95)
    assert found.low < 1.0 < found.high
    assert found.high / found.low < 1.04
    assert (found.pairs, found.starts) == (24, 8)


@pytest.mark.parametrize("of_start", [0.0, 0.04, 0.2])
@pytest.mark.parametrize("starts", [np.arange(24) // 3, np.arange(24) // 6, np.arange(16) // 2])
def test_paired_ratio_covers_the_truth_as_often_as_it_says(of_start, starts):
    covered = 0
    for seed in range(800):
        found = paired_ratio(*rounds(1.10, 0.08, seed, of_start, starts), confidence=0.95)
        covered += found.low <= 1.10 <= found.high
    assert 0.93 <= covered / 800 <= 0.98


def test_paired_ratio_is_not_moved_by_one_disturbed_round():
    candidate, baseline, starts = rounds(1.0, 0.01, seed=5)
    candidate[3] *= 4
    assert paired_ratio(candidate, baseline, starts, confidence=0.95).ratio < 1.01


@pytest.mark.parametrize(
    ("candidate", "starts", "words"),
    [
        ([1.0] * 9, [0, 0, 0, 1, 1, 1, 2, 2, 2], "3 starts .* at least 4"),
        ([0.0] * 8, [0, 0, 1, 1, 2, 2, 3, 3], "above 0"),
        ([1.0] * 8, [0, 1, 2, 3], "4 starts"),
    ],
)
def test_paired_ratio_refuses_what_decides_nothing(candidate, starts, words):
    with pytest.raises(ValueError, match=words):
        paired_ratio(candidate, [1.0] * len(candidate), starts, confidence=0.95)


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 3, 3.1824),
        (0.995, 7, 3.4995),
        (0.975, 30, 2.0423),
    ],
)
def test_student_quantile_is_that_of_the_tables(probability, freedom, expected):
    assert student_quantile(probability, freedom) == pytest.approx(expected, abs=1e-4)
