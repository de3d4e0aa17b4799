"""The batcher of one live model version: entries in, batches out, every entry answered once.

It lives on the event loop and is the only one who touches its queue. It decides nothing itself:
``serve.scheduling.policy`` does; this class waits, sends and completes.

All requests read from sockets in one turn of the loop go into one batch, because the dispatch is
scheduled behind them. A batch that fails is halved and run again, down to the single request
that makes it fail, so that a poisonous request costs its neighbours time, never their answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial

from serve.clock import NS_PER_MS, NS_PER_S, Clock
from serve.errors import DeadlineExceeded, InternalError, NotReady, PenstockError, Unavailable
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling import policy
from serve.scheduling.admission import Admission
from serve.scheduling.alarm import Alarm
from serve.scheduling.batch import join, runs
from serve.scheduling.cost import CostModel
from serve.scheduling.entry import Entry
from serve.scheduling.execution import Executor, Outcome
from serve.scheduling.policy import Limits, Load
from serve.scheduling.queue import EntryQueue
from serve.scheduling.running import Running, stalled_ns
from serve.tensors import Array, Batch

__all__ = ["Batcher"]

log = logging.getLogger("penstock.scheduling")

TURN_BATCHES = 4
"""Batches that one turn of the loop may start, so that inline execution leaves it air."""


class Batcher:
    """Owns the queue of one model version and feeds its executor."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        cost: CostModel,
        executor: Executor,
        metrics: VersionMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        # shared
        self._name = name
        self._limits = limits
        self._cost = cost
        self._executor = executor
        self._metrics = metrics
        self._clock = clock
        self._loop = loop
        # state
        self._admission = Admission(name, limits, cost, metrics)
        self._queue = EntryQueue()
        self._retries: deque[tuple[list[Entry], int]] = deque()  # and how often they were lost
        self._running: dict[int, Running] = {}
        self._batch_number = 0
        self._closed = False
        self.expected = 0  # requests on their way here, counted by whoever sends them
        # scheduled calls
        self._dispatch_due = False
        self._dispatching = False
        self._wait_timer: asyncio.TimerHandle | None = None
        # One a batcher, not one a request.
        self._deadline = Alarm(loop, self.sweep)
        self._on_withdraw = self._withdrawn  # bound once, not for each request
        executor.attach(self._dispatch)

    def submit(self, entry: Entry, now_ns: int) -> None:
        """Queue an entry; it is answered through itself.

        Raises:
            Overloaded: it would be late, or the queue is full; carries a retry hint.
            NotReady: the version is being unloaded.
        """
        if self._closed:
            raise self._unloaded()
        queue = self._queue
        if self._running or not self._admission.free(
            queue.rows + entry.rows, entry.deadline_ns - now_ns
        ):
            self._admit(entry, now_ns)
        self._enqueue((entry,), now_ns)
        if not self._dispatch_due:
            self._dispatch_due = True
            self._loop.call_soon(self._dispatch_turn)
        if entry.deadline_ns < self._deadline.due_ns:
            self._deadline.set(entry.deadline_ns, now_ns)

    def submit_block(self, entries: list[Entry], now_ns: int) -> list[Entry | PenstockError]:
        """``submit`` for the entries of one block, with the outcome of each.

        Their rows are all of the arrays that they share, in order. They came in one turn of the
        loop and are dispatched at once, for the turn is over; some may be answered on return.
        """
        if self._closed:
            return [self._unloaded() for _ in entries]
        rows = sum([entry.rows for entry in entries])
        deadline_ns = min([entry.deadline_ns for entry in entries])
        if deadline_ns < self._deadline.due_ns:
            self._deadline.set(deadline_ns, now_ns)
        queued = self._queue.rows
        if not self._running and self._admission.free(queued + rows, deadline_ns - now_ns):
            if queued or self._retries or not self._goes_whole(rows):
                self._enqueue(entries, now_ns)
                self._dispatch()
            else:
                self._accept(entries, now_ns)
                self._run(entries, Batch(entries[0].inputs, rows), now_ns)
                self._metrics.running_batches = len(self._running)
            return list(entries)
        outcomes: list[Entry | PenstockError] = list(entries)
        if self._admits_all(entries[0].priority, rows, deadline_ns, now_ns):
            self._enqueue(entries, now_ns)
        else:
            for index, entry in enumerate(entries):
                try:
                    self._admit(entry, now_ns)
                except PenstockError as error:
                    outcomes[index] = error
                else:
                    self._enqueue((entry,), now_ns)
        self._dispatch()
        return outcomes

    def _goes_whole(self, rows: int) -> bool:
        """Whether an idle executor would be given so many rows at once, as they came."""
        fits = rows <= self._admission.max_batch_rows and not self._limits.max_delay_ns
        return fits and self._executor.slots > 0

    def _enqueue(self, entries: Sequence[Entry], now_ns: int) -> None:
        self._accept(entries, now_ns)
        self._queue.push(entries)

    def _accept(self, entries: Sequence[Entry], now_ns: int) -> None:
        withdraw = self._on_withdraw
        for entry in entries:
            entry.enqueued_ns = now_ns
            entry.withdraw = withdraw
        self._metrics.in_flight += len(entries)

    def _unloaded(self) -> NotReady:
        return NotReady(f"model '{self._name}' is being unloaded: retry with another version")

    def stalled_ns(self, now_ns: int) -> int:
        """How long the oldest batch has been running, if far too long; else 0."""
        return stalled_ns(self._running.values(), now_ns)

    def waiting_ns(self) -> int:
        """Nanoseconds in which one slot executes what waits here."""
        return self._admission.work_ns(self._queue.rows)

    def refuse_waiting(self, before_ns: int, error: PenstockError) -> int:
        """Answer what was queued before then with ``error``; since when the rest waits, 0: none."""
        for entry in list(self._queue):
            if entry.enqueued_ns <= before_ns:
                self._fail(entry, error)
        return min([entry.enqueued_ns for entry in self._queue], default=0)

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs, nor is on its way."""
        return not (self._queue.rows or self._running or self._retries or self.expected)

    def close(self) -> None:
        """Take no more entries, fail those that wait, forget those that run."""
        self._closed = True
        error = NotReady(f"model '{self._name}' was unloaded")
        for running in list(self._running.values()):
            for entry in running.entries:
                self._fail(entry, error)
        while self._retries:
            for entry in self._retries.popleft()[0]:
                self._fail(entry, error)
        for entry in list(self._queue):
            self._fail(entry, error)
        self._deadline.cancel()
        if self._wait_timer is not None:
            self._wait_timer.cancel()
            self._wait_timer = None

    # admission

    def _admit(self, entry: Entry, now_ns: int) -> None:
        if not self._executor.elsewhere and (age_ns := self.stalled_ns(now_ns)):
            age = f"{age_ns / NS_PER_S:.0f} s and takes no more until it returns"
            raise NotReady(f"model '{self._name}' has been running one batch for {age}")
        load = self._load(entry.priority, now_ns)
        self._admission.check(entry.rows, entry.deadline_ns, load, now_ns)

    def _admits_all(self, priority: int, rows: int, deadline_ns: int, now_ns: int) -> bool:
        """Whether all entries of a block would be admitted, since the last of them would be."""
        if not self._executor.elsewhere and self.stalled_ns(now_ns):
            return False
        return self._admission.admits(rows, deadline_ns, self._load(priority, now_ns), now_ns)

    def _load(self, priority: int, now_ns: int) -> Load:
        """What is ahead of a new entry."""
        queued = self._queue.rows_ahead(priority) if self._queue.rows else 0
        left_ns = self._running_left_ns(now_ns)
        return Load(queued, len(self._running), left_ns, self._executor.slots)

    def _running_left_ns(self, now_ns: int) -> int:
        """Time until the batches that were sent leave a slot to the next one."""
        if len(self._running) < self._executor.slots:
            return 0
        batches = [(now_ns - r.started_ns, r.expected_ns) for r in self._running.values()]
        return policy.left_ns(batches, self._executor.slots)

    # dispatch

    def _dispatch_turn(self) -> None:
        self._dispatch_due = False
        self._dispatch()

    def _dispatch(self) -> None:
        """Start batches while slots are free and rows wait."""
        if self._dispatching or self._closed:
            return
        self._dispatching = True
        try:
            for _ in range(TURN_BATCHES):
                if not self._start_one() or not (self._queue.rows or self._retries):
                    return
            if (self._queue.rows or self._retries) and not self._dispatch_due:
                self._dispatch_due = True
                self._loop.call_soon(self._dispatch_turn)
        finally:
            self._dispatching = False
            self._metrics.queued_rows = self._queue.rows
            self._metrics.running_batches = len(self._running)

    def _start_one(self) -> bool:
        """Start the next batch; False if there is none, or it has to wait."""
        free = self._executor.slots - len(self._running)
        if self._retries and free > 0:
            again, lost = self._retries.popleft()
            if entries := [entry for entry in again if not entry.done]:
                self._run_joined(entries, self._clock(), lost)
            return True
        queue = self._queue
        if not queue.rows or free <= -self._executor.prefetch:
            if queue.rows and not self._executor.slots:
                self._executor.starved()
            return False
        now_ns = self._clock()
        lane = queue.next_lane()
        max_rows = self._admission.max_batch_rows
        if free <= 0 and lane.rows < max_rows and not self._executor.eager:
            return False  # the slots are busy, and the next batch may still become fuller
        if self._limits.max_delay_ns:
            head = lane.head()
            wait_ns = policy.wait_ns(
                now_ns, lane.rows, head.enqueued_ns, head.deadline_ns, self._cost, self._limits
            )
            if wait_ns:
                self._arm_wait(wait_ns)
                return False
        entries = queue.take(lane, max_rows)
        if min([entry.deadline_ns for entry in entries]) <= now_ns:
            entries = [entry for entry in entries if not self._expired(entry, now_ns)]
        if entries:
            self._run_joined(entries, now_ns)
        return True

    def _run_joined(self, entries: list[Entry], now_ns: int, lost: int = 0) -> None:
        self._run(entries, join(entries, sum([entry.rows for entry in entries]), lost), now_ns)

    def _run(self, entries: list[Entry], batch: Batch, now_ns: int) -> None:
        rows = batch.rows
        expected_ns = self._cost.batch_ns(rows)
        started_ns = self._clock()
        self._batch_number += 1
        number = self._batch_number
        done = partial(self._finish, number)
        self._running[number] = Running(
            entries, rows, started_ns, expected_ns, started_ns - now_ns, done
        )
        self._executor.submit(batch, self._cost.quick_ns(rows), done)

    # completion

    def _finish(self, number: int, outcome: Outcome) -> None:
        running = self._running.pop(number)
        slots = self._executor.slots
        if len(self._running) >= slots > 0:
            # The one that was made ready starts only now.
            next_one = list(self._running.values())[slots - 1]
            next_one.started_ns = self._clock()
        if self._executor.elsewhere and not self._closed:
            self._dispatch()  # the next batch leaves before the answers of this one are written
        if outcome.outputs is None:
            self._finish_failed(running, outcome)
        else:
            self._finish_answered(running, outcome.outputs, outcome.execute_ns)
        if not self._closed:
            self._dispatch()

    def _finish_failed(self, running: Running, outcome: Outcome) -> None:
        entries = [entry for entry in running.entries if not entry.done]
        if outcome.lost and not self._closed:
            # Halves would cost a replica each; alone, the one at fault costs one more.
            self._retries.extend([([entry], outcome.lost) for entry in entries])
            return
        # An executor that cannot run it has tried more than once, and halves fare no better.
        if len(entries) > 1 and not isinstance(outcome.error, Unavailable):
            half = len(entries) // 2
            self._retries.extend([(entries[:half], 0), (entries[half:], 0)])
            return
        assert outcome.error is not None
        for entry in entries:
            self._fail(entry, outcome.error)

    def _finish_answered(self, running: Running, outputs: list[Array], execute_ns: int) -> None:
        metrics = self._metrics
        entries, rows = running.entries, running.rows
        split_ns = self._clock()
        answered = [entry for entry in entries if not entry.done]
        for run, part in runs(entries, outputs):
            self._answer(run, part)
        now_ns = self._clock()
        self._admission.learn(rows, execute_ns)
        metrics.count_batch(rows, running.input_ns, execute_ns, now_ns - split_ns, now_ns)
        if answered:
            metrics.count_answers(answered, running.started_ns, execute_ns, now_ns)

    def _answer(self, run: Sequence[Entry], outputs: list[Array]) -> None:
        try:
            run[0].answerer.answer(run, outputs)
        except Exception:
            log.exception("model '%s': unexpected error in %d answers", self._name, len(run))
            error = InternalError("internal error")
            for entry in run:
                entry.fail(error)

    def _fail(self, entry: Entry, error: PenstockError) -> None:
        """Answer with an error, unless the entry is done already."""
        if not entry.fail(error):
            return
        metrics = self._metrics
        metrics.in_flight -= 1
        metrics.failures += 1
        metrics.failure_ns += self._clock() - entry.received_ns
        if entry.sequence:
            self._queue.remove(entry)

    def _withdrawn(self, entry: Entry) -> None:
        """The caller cancelled: drop it from the queue; if it runs, its rows are ignored."""
        self._metrics.in_flight -= 1
        self._metrics.cancellations += 1
        if entry.sequence:
            self._queue.remove(entry)

    # time

    def _expired(self, entry: Entry, now_ns: int) -> bool:
        """Answer an entry whose deadline has passed; False if there is time left."""
        if entry.deadline_ns > now_ns:
            return False
        waited_ms = (now_ns - entry.received_ns) / NS_PER_MS
        self._fail(
            entry,
            DeadlineExceeded(
                f"model '{self._name}' did not answer within the deadline; waited"
                f" {waited_ms:.0f} ms{'' if self._executor.slots else ', without a replica'}"
            ),
        )
        return True

    def _arm_wait(self, wait_ns: int) -> None:
        if self._wait_timer is not None:
            self._wait_timer.cancel()
        self._wait_timer = self._loop.call_later(wait_ns / NS_PER_S, self._dispatch)

    def sweep(self) -> None:
        """Answer every entry whose deadline has passed, queued or under way."""
        self._deadline.cancel()
        now_ns = self._clock()
        live = list(self._queue)
        for running in self._running.values():
            live.extend(entry for entry in running.entries if not entry.done)
        for entries, _ in self._retries:
            live.extend(entry for entry in entries if not entry.done)
        left = [entry.deadline_ns for entry in live if not self._expired(entry, now_ns)]
        for running in list(self._running.values()):
            if all(entry.done for entry in running.entries):
                self._executor.withdraw(running.done)
        if left:
            self._deadline.set(min(left), now_ns)
