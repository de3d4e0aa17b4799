"""The batches of one engine: some run, some wait, all of them are counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from serve.clock import Clock
from serve.monitoring.metrics import DURATION_BOUNDS_NS, Histogram
from serve.scheduling.execution import Executor, Outcome
from serve.scheduling.row_cost import RowCost
from serve.scheduling.running import STALL_FACTOR
from serve.tensors import Batch

__all__ = ["Runner", "Statistics", "Work"]


class Work(msgspec.Struct, eq=False, gc=False):
    """A batch that a gateway sent, and how to tell it the outcome."""

    batch: Batch
    expected_ns: int
    answer: Callable[[Outcome], None]
    started_ns: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counters since the start, and gauges.

    ``busy_ns`` is the sum over all slots, with what runs now: its growth over a time, divided by
    that time and by ``slots``, is the share of the engine that was busy. ``used_ns`` is what the
    rows would have taken in batches of the best size: the share of what it could do.
    """

    slots: int
    busy_ns: int
    used_ns: float
    batches: int
    rows: int
    failures: int
    declined: int
    running: int
    queued: int
    connections: int


class Runner:
    """Gives an executor as many batches as it has slots, in the order in which they came.

    All methods belong to the engine's loop but for ``statistics`` and ``stalled_ns``;
    ``durations`` are nanoseconds for which batches ran.
    """

    def __init__(
        self,
        executor: Executor,
        max_queued: int,
        clock: Clock,
        stall_floor_ns: int,
        row_cost: RowCost,
    ) -> None:
        self.durations = Histogram(DURATION_BOUNDS_NS)
        self._executor = executor
        self._max_queued = max_queued
        self._clock = clock
        self._row_cost = row_cost
        self._stall_floor_ns = stall_floor_ns
        self._queue: deque[Work] = deque()
        self._running: dict[int, Work] = {}
        self._number = 0
        self._starting = False
        self._busy_ns = 0
        self._used_ns = 0.0
        self._batches = 0
        self._rows = 0
        self._failures = 0
        self._declined = 0

    @property
    def idle(self) -> bool:
        """Whether no batch runs or waits."""
        return not (self._running or self._queue)

    def take(self, work: Work) -> bool:
        """Run a batch as soon as there is a slot; False if too many wait already."""
        if len(self._queue) >= self._max_queued:
            self._declined += 1
            return False
        self._queue.append(work)
        self._start()
        return True

    def withdraw(self, work: Work) -> bool:
        """Forget a batch that waits; False if it does not wait."""
        try:
            self._queue.remove(work)
        except ValueError:
            return False
        return True

    def _start(self) -> None:
        if self._starting:  # a batch was run inline: whoever started it goes on
            return
        self._starting = True
        try:
            while self._queue and len(self._running) < self._executor.slots:
                work = self._queue.popleft()
                self._number += 1
                self._running[self._number] = work
                work.started_ns = self._clock()
                done = partial(self._finished, self._number)
                self._executor.submit(work.batch, work.expected_ns, done)
        finally:
            self._starting = False

    def _finished(self, number: int, outcome: Outcome) -> None:
        work = self._running.pop(number)
        self._busy_ns += outcome.execute_ns
        self._used_ns += self._worth_ns(work, outcome.execute_ns)
        self.durations.observe(outcome.execute_ns)
        self._batches += 1
        self._rows += work.batch.rows
        if outcome.error is None:
            self._row_cost.learn(work.batch.rows, outcome.execute_ns)
        else:
            self._failures += 1
        work.answer(outcome)
        self._start()

    def _worth_ns(self, work: Work, took_ns: int) -> float:
        return min(took_ns, work.batch.rows * self._row_cost.ns)

    # from any thread

    def statistics(self, connections: int) -> Statistics:
        """The counters as they are now."""
        now_ns = self._clock()
        running = [(work, now_ns - work.started_ns) for work in list(self._running.values())]
        return Statistics(
            slots=self._executor.slots,
            busy_ns=self._busy_ns + sum([age_ns for _, age_ns in running]),
            used_ns=self._used_ns + sum([self._worth_ns(*each) for each in running]),
            batches=self._batches,
            rows=self._rows,
            failures=self._failures,
            declined=self._declined,
            running=len(running),
            queued=len(self._queue),
            connections=connections,
        )

    def stalled_ns(self) -> int:
        """How long a batch has been running that does not come back; 0 if there is none."""
        now_ns = self._clock()
        for work in list(self._running.values()):
            age_ns = now_ns - work.started_ns
            if age_ns > max(self._stall_floor_ns, STALL_FACTOR * work.expected_ns):
                return age_ns
        return 0
