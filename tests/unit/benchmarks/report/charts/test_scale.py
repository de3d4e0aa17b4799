"""Axes: where values stand, and the ticks beside them."""

import pytest

from benchmarks.report.charts.scale import Linear, Log, Nines, short


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (7, "7"), (2500, "2.5k"), (3e4, "30k"), (4e6, "4M")]
)
def test_short_fits_an_axis(value, text):
    assert short(value) == text


def test_linear_ends_at_a_tick_above_the_highest_value():
    axis = Linear(0, 43, 0, 100)
    assert [label for _, label in axis.ticks()] == ["0", "20", "40", "60"]
    assert (axis.at(0), axis.at(30), axis.at(60), axis.at(99)) == (0, 50, 100, 100)


def test_linear_ends_at_the_highest_value_where_asked():
    axis = Linear(0, 43, 0, 86, exact=True)
    assert [value for value, _ in axis.ticks()] == [0, 20, 40]
    assert axis.at(43) == 86


def test_log_spaces_ratios_evenly():
    axis = Log(0.2, 90, 0, 100)
    values = [value for value, _ in axis.ticks()]
    assert (values[0], values[-1]) == (0.2, 100)
    assert axis.at(2) - axis.at(1) == pytest.approx(axis.at(20) - axis.at(10))


def test_nines_give_each_nine_the_same_room():
    axis = Nines(0.9999, 0, 100)
    steps = [axis.at(part) for part in (0, 0.9, 0.99, 0.999, 0.9999)]
    assert steps == pytest.approx([0, 25, 50, 75, 100])
    assert [label for _, label in axis.ticks()] == ["50", "90", "99", "99.9", "99.99"]
