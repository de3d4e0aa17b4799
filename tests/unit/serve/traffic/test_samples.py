"""Samples: sums, and the bins of latencies and scores."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from serve.traffic.samples import (
    OutcomeSums,
    Sample,
    latency_bin,
    latency_bin_ms,
    latency_bins,
    score_bins,
    score_of_bin,
)

ONE = Sample(
    answered=5,
    failed=1,
    refused=2,
    stood_in=3,
    unkeyed=2,
    latencies={3: 2, 9: 3},
    scores={-4: 1, 7: 4},
    compared=3,
    disagreed=1,
    dropped=2,
    shadow_failed=1,
    distance_sum=0.5,
    distance_max=0.4,
    shadow_ns=10,
    primary_ns=8,
    outcomes=OutcomeSums(2, 1.0, 1.0),
)
OTHER = Sample(answered=7, latencies={9: 7}, scores={7: 7}, distance_max=0.9)


def test_samples_add_up_and_come_apart_again() -> None:
    both = ONE.plus(OTHER)
    assert both.answered == 12
    assert both.latencies == {3: 2, 9: 10}
    assert both.scores == {-4: 1, 7: 11}
    assert both.distance_max == 0.9
    assert both.minus(ONE) == OTHER


def test_a_sample_less_itself_is_empty_but_for_the_largest_distance() -> None:
    assert ONE.minus(ONE) == Sample(distance_max=0.4)


@pytest.mark.parametrize("duration_ns", [1, 2, 1000, 1001, 5_000_000, 7_200_000_000_000])
def test_a_duration_lies_in_its_bin(duration_ns: int) -> None:
    number = latency_bin(duration_ns)
    assert latency_bin_ms(number) * 1e6 >= duration_ns * (1 - 1e-12)
    assert duration_ns == 1 or latency_bin_ms(number - 1) * 1e6 < duration_ns
    assert latency_bin_ms(number) / latency_bin_ms(number - 1) < 1.1


def test_a_duration_of_nothing_has_the_first_bin() -> None:
    assert latency_bin(0) == latency_bin(-5) == latency_bin(1) == 0


def test_a_quantile_is_the_end_of_its_bin() -> None:
    sample = Sample(latencies={10: 98, 20: 1, 30: 1})
    assert sample.quantile_ms(0.5) == latency_bin_ms(10)
    assert sample.quantile_ms(0.99) == latency_bin_ms(20)
    assert sample.quantile_ms(1.0) == latency_bin_ms(30)
    assert sample.quantile_ms(0.0) == latency_bin_ms(10)
    assert Sample().quantile_ms(0.99) is None


def test_scores_are_counted_in_bins_that_ascend_with_them() -> None:
    values = [-math.inf, -1e300, -2.5, -1.0, -1e-9, 0.0, 1e-9, 0.3, 0.5, 0.999, 1.0, 7.0, math.inf]
    numbers = [next(iter(score_bins(np.array([value])))) for value in values]
    assert numbers == sorted(set(numbers))
    assert score_bins(np.array([np.nan])).keys() < {*range(-(2**22), numbers[0])}


def test_scores_of_any_shape_are_counted() -> None:
    scores = np.array([[0.25, 0.25], [0.75, -0.75]], np.float32)
    counts = score_bins(scores)
    assert sorted(counts.values()) == [1, 1, 2]
    assert score_bins(np.zeros((0, 3), np.float32)) == {}


@pytest.mark.parametrize("value", [0.3, -0.3, 1.0, -1.0, 123.456, -1e-6, 2.0**-39, 0.0])
def test_a_bin_has_a_score_near_those_in_it(value: float) -> None:
    (number,) = score_bins(np.array([value]))
    assert score_of_bin(number) == pytest.approx(value, rel=1 / 30)
    assert abs(score_of_bin(number)) <= abs(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_scores_that_are_no_numbers_come_back(value: float) -> None:
    (number,) = score_bins(np.array([value]))
    assert score_of_bin(number) == pytest.approx(value, nan_ok=True)


def test_numbers_next_to_zero_are_zero() -> None:
    assert score_bins(np.array([1e-13, -1e-13, 0.0])) == {0: 3}


def test_many_latencies_are_counted_like_each_by_itself() -> None:
    durations = [0, 1, 2, 3, 1000, 1000, 12_345_678, 2**40, 2**40 + 1]
    assert latency_bins(durations) == Counter(latency_bin(each) for each in durations)
