from __future__ import annotations

import pytest

from optimize.report.axes import Axis, shown


def test_axis_spreads_values_between_its_ends() -> None:
    axis = Axis([1, 10, 100], 0, 100, log=True)
    assert axis.at(10) == pytest.approx(50)
    assert 0 < axis.at(1) < 10 < 90 < axis.at(100) < 100


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([0.81, 0.84], False, [0.81, 0.82, 0.83, 0.84]),
        ([1, 8, 40], True, [1, 2, 5, 10, 20, 50]),
        ([1e-3, 1e3], True, [1e-3, 1e-2, 1e-1, 1, 10, 100, 1000]),
        ([1.02, 1.06], True, [1.02, 1.04, 1.06]),
    ],
)
def test_ticks_are_round_numbers(values: list[float], log: bool, ticks: list[float]) -> None:
    assert Axis(values, 0, 100, log=log).ticks == pytest.approx(ticks)


@pytest.mark.parametrize("log", [False, True])
def test_axis_of_one_value_has_room_and_a_tick(log: bool) -> None:
    axis = Axis([0.5], 0, 100, log=log)
    assert axis.at(0.5) == pytest.approx(50)
    assert axis.ticks


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (20, "20"), (3000, "3k"), (2.5e6, "2.5M")]
)
def test_shown_is_short(value: float, text: str) -> None:
    assert shown(value) == text
