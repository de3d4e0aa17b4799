"""Rounds become medians with a range, and paired ratios with an interval."""

import pytest

from benchmarks.summary import figure, ratio


def test_figure_is_the_median_in_its_range():
    result = figure("x", [3.0, 1.0, 8.0], "ms")

    assert (result.value, result.low, result.high, result.unit) == (3.0, 1.0, 8.0, "ms")


def test_ratio_pairs_rounds_so_that_shared_noise_cancels():
    floor = [100.0, 20.0, 60.0, 110.0]

    result = ratio("x", [value * 0.8 for value in floor], floor)

    assert result.value == pytest.approx(0.8)
    assert (result.low, result.high) == (pytest.approx(0.8), pytest.approx(0.8))


def test_ratio_interval_holds_the_median_and_stays_in_range():
    result = ratio("x", [1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)

    assert result.low is not None and result.high is not None
    assert 1.0 <= result.low <= result.value == 3.0 <= result.high <= 5.0


def test_ratio_refuses_rounds_without_a_partner():
    with pytest.raises(ValueError, match="zip"):
        ratio("x", [1.0, 2.0], [1.0])
