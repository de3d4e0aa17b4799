from __future__ import annotations

import pytest

from serve.executors.remote.decisions import (
    Fate,
    after_loss,
    backoff_s,
    hung,
    most_free,
    reservable,
)

S = 10**9


@pytest.mark.parametrize(
    ("sent", "withdrawn", "expected"),
    [
        (1, False, Fate.AGAIN),
        (2, False, Fate.AGAIN),
        (3, False, Fate.GIVEN_UP),
        (1, True, Fate.DROPPED),
        (3, True, Fate.DROPPED),
    ],
)
def test_after_loss_decides(sent: int, withdrawn: bool, expected: Fate) -> None:
    assert after_loss(sent, 3, withdrawn, alone=True) is expected


@pytest.mark.parametrize(
    ("sent", "most", "expected"),
    [
        (1, 3, Fate.AGAIN),
        (2, 3, Fate.SPLIT),
        (3, 3, Fate.GIVEN_UP),
        (1, 2, Fate.SPLIT),
        (1, 1, Fate.GIVEN_UP),
    ],
)
def test_last_try_of_a_batch_of_several_is_of_each_alone(
    sent: int, most: int, expected: Fate
) -> None:
    assert after_loss(sent, most, False, alone=False) is expected
    assert after_loss(sent, most, True, alone=False) is Fate.DROPPED


@pytest.mark.parametrize(
    ("free", "last", "expected"),
    [
        ([], -1, -1),
        ([0, 0], 0, -1),
        ([1, 3, 2], 1, 1),
        ([2, 2, 2], 0, 1),
        ([2, 2, 2], 2, 0),
        ([0, -1, 1], 2, 2),
        ([3], 7, 0),
    ],
)
def test_most_free_takes_the_emptiest_and_goes_round(
    free: list[int], last: int, expected: int
) -> None:
    assert most_free(free, last) == expected


@pytest.mark.parametrize(
    ("in_flight", "reserved", "expected"),
    [
        ([], 0, -1),
        ([2], 0, 0),
        ([2], 1, -1),
        ([2, 1, 3], 0, 1),
        ([2, 1, 3], 1, 1),
        ([2, 1], 2, -1),
        ([0], 3, -1),
    ],
)
def test_reservable_leaves_half_of_the_replicas_to_others(
    in_flight: list[int], reserved: int, expected: int
) -> None:
    assert reservable(in_flight, reserved) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, ""),
        ({"unanswered_ns": 5 * S}, ""),
        ({"unanswered_ns": 6 * S}, "no sign of life for 6.0 s"),
        ({"stalled_ns": 11 * S}, "running one batch for 11.0 s"),
        ({"overdue_ns": 10 * S}, ""),
        ({"overdue_ns": 12 * S}, "12.0 s, past its deadline"),
    ],
)
def test_hung_says_why(figures: dict[str, int], expected: str) -> None:
    given = {"unanswered_ns": 0, "stalled_ns": 0, "overdue_ns": 0, **figures}
    found = hung(silent_ns=5 * S, stall_ns=10 * S, **given)
    assert expected in found
    assert bool(found) == bool(expected)


def test_backoff_doubles_up_to_its_limit_and_spreads() -> None:
    waits = [backoff_s(failures, 0.1, 1.0, 1.0) for failures in (1, 2, 3, 4, 5, 10**6)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff_s(3, 0.1, 1.0, 0.0) == 0.2
