from __future__ import annotations

from collections.abc import Callable
from itertools import count

from optimize.profile.measure import measure


class FakeMachine:
    """A clock that moves only while something runs."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._calls = count()

    def clock(self) -> int:
        return self.now_ns

    def takes(self, duration_ns: Callable[[int], int]) -> Callable[[], None]:
        def run() -> None:
            self.now_ns += duration_ns(next(self._calls))

        return run


def test_measure_stops_once_ratios_agree() -> None:
    machine = FakeMachine()
    runs = {"base": machine.takes(lambda _: 3000), "new": machine.takes(lambda _: 1000)}
    found = measure(runs, clock=machine.clock, window_ns=30_000, enough_calls=1)
    assert found["new"].ratio == 3.0
    assert found["new"].stable
    assert found["new"].p50_ns == 1000
    assert len(found["new"].windows) == 3


def test_measure_goes_on_until_there_are_calls_enough_for_percentiles() -> None:
    machine = FakeMachine()
    runs = {"base": machine.takes(lambda _: 3000), "new": machine.takes(lambda _: 1000)}
    found = measure(runs, clock=machine.clock, window_ns=30_000, enough_calls=45)
    assert len(found["new"].windows) == 5


def test_measure_of_slow_runs_ends_once_they_agree() -> None:
    machine = FakeMachine()
    runs = {"base": machine.takes(lambda _: 3 * 10**8), "new": machine.takes(lambda _: 10**8)}
    found = measure(runs, clock=machine.clock)
    assert found["new"].stable
    assert len(found["new"].windows) == 3


def test_measure_is_not_moved_by_a_machine_that_slows_both_down() -> None:
    machine = FakeMachine()
    slow = lambda call: 1 + call // 60  # noqa: E731
    runs = {
        "base": machine.takes(lambda call: 2000 * slow(call)),
        "new": machine.takes(lambda call: 1000 * slow(call)),
    }
    assert 1.5 < measure(runs, clock=machine.clock, window_ns=5_000)["new"].ratio < 2.5


def test_measure_calls_unstable_what_does_not_settle() -> None:
    machine = FakeMachine()
    runs = {
        "base": machine.takes(lambda _: 1000),
        "new": machine.takes(lambda call: 1000 + 900 * ((call // 7) % 3)),
    }
    assert not measure(runs, clock=machine.clock, window_ns=1)["new"].stable
