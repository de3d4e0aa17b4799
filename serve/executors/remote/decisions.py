"""What a gateway decides about replicas and batches, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

__all__ = ["Fate", "after_loss", "backoff_s", "hung", "most_free", "reservable"]


class Fate(StrEnum):
    """What becomes of a batch whose replica was lost."""

    AGAIN = "again"
    """It is sent to another replica."""
    SPLIT = "split"
    """The same, each of its requests alone: one of them may kill whoever runs it."""
    GIVEN_UP = "given_up"
    """It has been sent too often: perhaps it kills whoever runs it."""
    DROPPED = "dropped"
    """Nobody waits for it any more."""


def after_loss(sent: int, most: int, withdrawn: bool, alone: bool) -> Fate:
    """The fate of a batch that was sent ``sent`` times, of at most ``most``.

    ``alone``: it has only one row. More are taken apart for the last try, so that all but the
    request at fault are answered, and no more replicas are lost than before.
    """
    if withdrawn:
        return Fate.DROPPED
    if sent >= most:
        return Fate.GIVEN_UP
    return Fate.AGAIN if alone or sent < most - 1 else Fate.SPLIT


def most_free(free: Sequence[int], last: int) -> int:
    """The index of the replica with the most free slots, -1 if none has any.

    Of equals it is the next one after ``last``, so that all get their share.
    """
    best = -1
    most = 0
    count = len(free)
    for step in range(1, count + 1):
        index = (last + step) % count
        if free[index] > most:
            most = free[index]
            best = index
    return best


def reservable(in_flight: Sequence[int], reserved: int) -> int:
    """The index of the replica that is to be emptied for a suspect, -1: no further one.

    A suspect (a batch whose replica was lost while it was there) runs alone, so that the one
    that kills replicas takes no others with it. At most half of the replicas, and at least one,
    serve suspects; ``in_flight`` has the batches of those that do not yet.
    """
    if not in_flight or reserved >= max(1, (len(in_flight) + reserved) // 2):
        return -1
    return min(range(len(in_flight)), key=in_flight.__getitem__)


def hung(
    *, unanswered_ns: int, silent_ns: int, stalled_ns: int, overdue_ns: int, stall_ns: int
) -> str:
    """Why a replica is taken to hang; "" if it is not.

    ``unanswered_ns``: for how long it has neither sent nor taken a byte though it was asked for a
    sign of life; ``stalled_ns``: for how long, as it says, it has been running a batch that does
    not come back; ``overdue_ns``: the age of its oldest batch that nobody waits for any more.
    """
    if unanswered_ns > silent_ns:
        return f"it gave no sign of life for {unanswered_ns / 1e9:.1f} s"
    if stalled_ns:
        return f"it has been running one batch for {stalled_ns / 1e9:.1f} s"
    if overdue_ns > stall_ns:
        return f"a batch did not come back for {overdue_ns / 1e9:.1f} s, past its deadline"
    return ""


def backoff_s(failures: int, least_s: float, most_s: float, spread: float) -> float:
    """How long to wait before connecting again, after so many failures in a row (1 or more).

    ``spread``, 0 to 1, is random: many gateways should not come back all at once.
    """
    wait_s = min(most_s, least_s * float(1 << min(failures - 1, 30)))
    return wait_s * (0.5 + 0.5 * spread)
