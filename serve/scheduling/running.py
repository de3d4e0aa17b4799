"""Batches under way, and how to tell that one does not come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from serve.clock import NS_PER_S
from serve.scheduling.entry import Entry
from serve.scheduling.execution import Outcome

__all__ = ["STALL_FACTOR", "STALL_FLOOR_NS", "Running", "stalled_ns"]

STALL_FACTOR = 20
STALL_FLOOR_NS = 10 * NS_PER_S
"""A batch that runs this many times its expected time, and at least this long, has stalled."""


class Running(msgspec.Struct, eq=False, gc=False):
    """A batch under way; ``done`` is what its executor was told to call."""

    entries: list[Entry]
    rows: int
    started_ns: int
    expected_ns: int
    input_ns: int
    done: Callable[[Outcome], None]


def stalled_ns(batches: Iterable[Running], now_ns: int) -> int:
    """How long the oldest batch has been running, if far too long; else 0."""
    for running in batches:
        age_ns = now_ns - running.started_ns
        if age_ns > max(STALL_FLOOR_NS, STALL_FACTOR * running.expected_ns):
            return age_ns
    return 0
