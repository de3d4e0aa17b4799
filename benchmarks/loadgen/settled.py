"""When the verdict on an open loop cannot change any more, so that the rest need not be sent."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from benchmarks.loadgen.health import MAX_LATE_SHARE, late_s
from benchmarks.loadgen.spec import Bounds
from benchmarks.loadgen.wire import ANSWER, GRPC

__all__ = ["Tally"]


class Tally:
    """Counts the requests of one generator process that speak against the load.

    Each bound is a part of all that it was to send after the warm-up, so that a load is given up
    only when it would have been beyond the bound at its end as well. One of several processes sees
    its own requests only, and asks for so many times more.
    """

    def __init__(
        self,
        bounds: Bounds,
        due_s: Sequence[float],
        first: int,
        slo_ms: float,
        processes: int,
    ) -> None:
        """``first``: the number of the first request after the warm-up."""
        planned = (len(due_s) - first) * processes
        self._due_s = due_s
        self._first = first
        self._slo_s = slo_ms / 1e3
        self._late_s = late_s(slo_ms)
        self._most_slow = bounds.slow_share * planned + 1
        self._most_bad = bounds.bad_share * planned + 1
        self._most_late = MAX_LATE_SHARE * planned + 1
        self._slow = self._bad = self._late = 0

    def answered(self, number: int, latency_s: float, status: int) -> None:
        """Request ``number`` has ended."""
        if number < self._first:
            return
        if latency_s > self._slo_s:
            self._slow += 1
        if not (200 <= status < 300 or status == GRPC or status >= ANSWER):
            self._bad += 1

    def came_to(self, first: int, end: int, now_s: float) -> None:
        """The generator has got round to the requests from ``first`` to ``end``."""
        if first < end and self._due_s[first] < now_s - self._late_s:
            overdue = bisect_left(self._due_s, now_s - self._late_s, first, end)
            self._late += max(0, overdue - max(first, self._first))

    def is_settled(self, now_s: float, backlog: deque[int], end: int) -> bool:
        """Whether it is beyond a bound; ``backlog`` has consecutive requests up to ``end``."""
        slow = self._slow
        if backlog:
            waiting = max(backlog[0], self._first)
            overdue = bisect_left(self._due_s, now_s - self._slo_s, min(waiting, end), end)
            slow += max(0, overdue - waiting)
        return slow > self._most_slow or self._bad > self._most_bad or self._late > self._most_late
