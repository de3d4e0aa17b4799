"""Growth is told from none, and outliers do not hide it."""

import numpy as np
import pytest

from benchmarks.scenarios.slope import theil_sen

HOURS = np.arange(600) / 3600
RNG = np.random.default_rng(0)


def test_theil_sen_finds_a_slope_in_noise():
    slope = theil_sen(HOURS, 100 + 12 * HOURS + RNG.normal(0, 0.1, len(HOURS)))

    assert slope.low < 12 < slope.high
    assert slope.median == pytest.approx(12, rel=0.1)


def test_theil_sen_covers_zero_where_nothing_grows():
    slope = theil_sen(HOURS, 100 + RNG.normal(0, 0.1, len(HOURS)))

    assert slope.low < 0 < slope.high


def test_theil_sen_is_not_moved_by_outliers():
    memory = 100 + 12 * HOURS
    memory[::20] += 500

    assert theil_sen(HOURS, memory).median == pytest.approx(12, rel=0.01)


def test_theil_sen_of_many_points_is_that_of_their_groups():
    hours = np.arange(10_000) / 3600

    assert theil_sen(hours, 3 * hours).median == pytest.approx(3)
