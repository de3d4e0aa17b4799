"""Rounds become medians, and paired ratios with an interval."""

import pytest

from benchmarks.summary import medians, ratio


def test_ratio_pairs_rounds_so_that_shared_noise_cancels():
    floor = [100.0, 20.0, 60.0, 110.0]

    assert ratio([value * 0.8 for value in floor], floor) == pytest.approx((0.8, 0.8, 0.8))


def test_ratio_interval_holds_the_median_and_stays_in_range():
    middle, low, high = ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)

    assert 1.0 <= low <= middle == 3.0 <= high <= 5.0


def test_ratio_refuses_rounds_without_a_partner():
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


def test_medians_are_by_metric():
    rounds = [{"a": 1.0, "b": 5.0}, {"a": 9.0, "b": 6.0}, {"a": 2.0, "b": 7.0}]

    assert medians(rounds, "x.") == {"x.a": 2.0, "x.b": 6.0}
