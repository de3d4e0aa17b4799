"""The distance of two distributions of scores, and what is known of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from serve.traffic.samples import score_bins
from serve.traffic.shift import distance, part_of_bin, shift_of


def normal(seed: int, number: int, mean: float = 0.0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(number) + mean


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    assert distance({1: 5, 2: 5}, {1: 50, 2: 50}) == 0
    assert distance({1: 5, 2: 5}, {2: 5, 3: 5}) == 0.5
    assert distance({1: 5}, {2: 5}) == 1
    assert distance({}, {2: 5}) == 0


def test_the_parts_of_alpha_add_up_to_one_at_most() -> None:
    near = sum(part_of_bin(number) for number in range(-(2**18), 2**18))
    notable = sum(part_of_bin(number) for number in (-(2**21), -(2**20), 2**20 - 1))
    assert 0.8 < near + notable + 0.001 < 1  # what lies beyond is less than 0.001


@pytest.mark.parametrize("stable_rows", [300, 10_000])
def test_scores_that_moved_by_a_half_are_told_within_300_rows(stable_rows: int) -> None:
    new, stable = score_bins(normal(1, 250, 1.349)), score_bins(normal(2, stable_rows))
    found = shift_of(new, stable, 0.2, 0.0025)
    assert found.distance == pytest.approx(0.5, abs=0.1)
    assert 0.2 < found.at_least < 0.5


@pytest.mark.parametrize("mean", [-1.349, 1.349])
def test_either_direction_is_told(mean: float) -> None:
    found = shift_of(
        score_bins(normal(1, 400, mean)), score_bins(normal(2, 4000)), limit=0.2, alpha=0.0025
    )
    assert found.at_least > 0.2


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 0.0])
def test_scores_that_are_the_same_odd_number_are_told(odd: float) -> None:
    new = score_bins(np.where(np.arange(200) % 10, odd, normal(1, 200)))
    assert shift_of(new, score_bins(normal(2, 4000)), 0.2, 0.0025).at_least > 0.2


def test_too_few_rows_tell_nothing() -> None:
    found = shift_of(score_bins(normal(1, 20, 1.349)), score_bins(normal(2, 4000)), 0.2, 0.0025)
    assert found.distance > 0.3
    assert found.at_least == 0
    assert shift_of({}, {1: 5}, 0.2, 0.01).at_least == 0


@pytest.mark.parametrize("limit", [0.0, 0.2])
def test_scores_at_the_limit_are_hardly_ever_told_apart_however_often_one_looks(
    limit: float,
) -> None:
    told = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        new: Counter[int] = Counter()
        stable: Counter[int] = Counter()
        for _ in range(25):
            new.update(score_bins(random.random(40) + limit))  # uniform, at a distance of limit
            stable.update(score_bins(random.random(60)))
            if shift_of(new, stable, limit, 0.1).at_least:
                told += 1
                break
    assert told <= 4


def test_bins_far_from_one_have_less_of_alpha() -> None:
    new, stable = normal(1, 400, 1.349), normal(2, 4000)
    near, far = (
        shift_of(score_bins(new * scale), score_bins(stable * scale), 0.2, 0.0025)
        for scale in (1.0, 2.0**-20)
    )
    assert near.distance == far.distance
    assert near.at_least > far.at_least > 0.2
