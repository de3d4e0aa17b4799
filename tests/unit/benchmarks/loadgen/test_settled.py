"""A load is given up when its verdict cannot change any more, and not before."""

from collections import deque

import pytest

from benchmarks.loadgen.settled import Tally
from benchmarks.loadgen.spec import Bounds
from benchmarks.loadgen.wire import ANSWER, GRPC, LOST

DUE_S = [number / 1000 for number in range(2000)]  # the first second warms up
BOUNDS = Bounds(slow_share=0.01, bad_share=0.001)


def tally(processes=1):
    return Tally(BOUNDS, DUE_S, 1000, 100.0, processes)


def settled(seen, backlog=(), now_s=1.5):
    return seen.is_settled(now_s, deque(backlog), 1500)


@pytest.mark.parametrize(
    ("slow", "processes", "expected"),
    [(11, 1, False), (12, 1, True), (21, 2, False), (22, 2, True)],
)
def test_too_many_slow_answers_settle_it(slow, processes, expected):
    seen = tally(processes)
    for number in range(slow):
        seen.answered(1000 + number, 0.2, 200)

    assert settled(seen) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(503, True), (LOST, True), (GRPC + 8, True), (GRPC, False), (204, False), (ANSWER + 1, False)],
)
def test_too_many_bad_answers_settle_it(status, expected):
    seen = tally()
    for number in range(3):
        seen.answered(1000 + number, 0.0, status)

    assert settled(seen) is expected


def test_requests_that_have_waited_too_long_are_slow_already():
    assert not settled(tally(), range(1389, 1500))  # 1389 to 1399 are overdue: 11
    assert settled(tally(), range(1388, 1500))


def test_generator_that_is_late_settles_it():
    seen = tally()
    seen.came_to(1000, 1500, 1.0155)  # 1000 to 1010: more than 5 ms late
    assert not settled(seen)
    seen.came_to(1011, 1500, 1.0165)

    assert settled(seen)


def test_warm_up_does_not_count():
    seen = tally()
    for number in range(1000):
        seen.answered(number, 9.0, 503)
    seen.came_to(0, 1000, 1.2)

    assert not settled(seen, range(100), now_s=0.9)
