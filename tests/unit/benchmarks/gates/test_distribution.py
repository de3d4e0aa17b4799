"""Histograms as arrays."""

import pytest

from benchmarks.gates.distribution import Distribution, merged
from tests.support.measurements import histogram


def test_distribution_counts_above_a_bound():
    seen = Distribution.decode(histogram([1.0, 2.0, 2.0, 5.0]))
    assert seen.total == 4
    assert seen.above(2.0, inclusive=False) == 1
    assert seen.above(2.0, inclusive=True) == 3
    assert seen.quantiles().tolist() == [0.25, 0.75, 1.0]


def test_merged_histogram_is_the_sum():
    both = merged([histogram([1.0]), "", histogram([1.0, 3.0])])
    assert Distribution.decode(both).total == 3
    assert merged([]) == ""


def test_distribution_refuses_what_is_no_histogram():
    with pytest.raises(ValueError, match="HdrHistogram"):
        Distribution.decode("nonsense")
