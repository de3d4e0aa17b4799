"""The open-loop generator: arrivals do not wait for answers.

Latency counts from the time a request was due, not from when it was sent, so that a server (or a
generator) that stalls is charged for everybody who would have come meanwhile. A request that is
due while every slot is taken waits its turn, and that wait counts as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

import numpy as np

from benchmarks.loadgen import histogram
from benchmarks.loadgen.arrivals import schedule
from benchmarks.loadgen.health import late_s
from benchmarks.loadgen.outcomes import Part, phase_report, slices
from benchmarks.loadgen.settled import Tally
from benchmarks.loadgen.slots import Slots
from benchmarks.loadgen.spec import LoadSpec, OpenLoop
from benchmarks.loadgen.wire import IDLE, LOST, Slot
from benchmarks.loadgen.wires import open_wire

__all__ = ["OpenGenerator"]

TICK_S = 0.001  # uvloop's timers are no finer, and turning without one would burn a core


class OpenGenerator:
    """Owns the schedule and the slots of one process."""

    def __init__(self, spec: LoadSpec, load: OpenLoop, process: int = 0) -> None:
        # Shared
        self._spec = spec
        self._load = load
        self._slots = Slots(open_wire(spec, self), self._use)
        self._loop = asyncio.get_running_loop()
        # What is due
        due_s, self._phase = schedule(
            load.phases, load.arrivals, load.seed, process, spec.processes
        )
        self._due = due_s.tolist()
        self._count = len(self._due)
        self._next = 0
        # What became of it
        self._lag_s = [0.0] * self._count
        self._answered_s = [0.0] * self._count
        self._status = [LOST] * self._count
        self._unhinted: list[int] = []
        self._waited: list[int] = []
        self._outstanding = 0
        # Who is free, and who waits
        self._idle: list[Slot] = []
        self._backlog: deque[int] = deque()
        # Of the run
        self._zero_s = 0.0
        self._stopped_s: float | None = None
        self._tally: Tally | None = None
        self._is_given_up = False
        if load.give_up is not None:
            measured = [one.measured for one in load.phases]
            first = int(np.argmax(np.asarray(measured)[self._phase])) if self._count else 0
            self._tally = Tally(load.give_up, self._due, first, spec.slo_ms, spec.processes)
        self._sent = asyncio.Event()
        self._finished = asyncio.Event()

    async def connect(self, slots: int) -> None:
        """Open the slots; only then does the schedule begin."""
        await self._slots.open(slots)

    async def run(self, zero_s: float) -> Part:
        """Send everything that is due, the first at ``zero_s``; wait for answers and sum up."""
        self._zero_s = zero_s
        cpu_start_s = time.process_time()
        self._loop.call_later(max(0.0, zero_s - time.perf_counter()), self._tick)
        await self._sent.wait()
        sent_s = time.perf_counter() - zero_s
        cpu_share = (time.process_time() - cpu_start_s) / max(TICK_S, sent_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), self._spec.grace_s)
        await self._slots.close()
        return self._sum_up(cpu_share)

    def stop(self) -> None:
        """Send no more; what was sent is still waited for and reported."""
        self._stopped_s = time.perf_counter() - self._zero_s
        self._count = self._next
        self._sent.set()
        self._check_finished()

    def _tick(self) -> None:
        """Send what has become due."""
        now_s = time.perf_counter() - self._zero_s
        number, due, lag, count = self._next, self._due, self._lag_s, self._count
        idle, first = self._idle, number
        while number < count and due[number] <= now_s:
            lag[number] = now_s - due[number]
            if idle:
                idle.pop().send(number)
            else:
                self._backlog.append(number)
                self._waited.append(number)
            number += 1
        self._outstanding += number - first
        self._next = number
        if self._tally is not None:
            self._tally.came_to(first, number, now_s)
            if self._tally.is_settled(now_s, self._backlog, number):
                self._is_given_up = True
                self.stop()
                return
        if number < count:
            self._loop.call_later(TICK_S, self._tick)
        else:
            self._sent.set()
            self._check_finished()

    def answered(self, slot: Slot | None, number: int, status: int, hinted: bool) -> None:
        """See ``Owner.answered``."""
        now_s = self._answered_s[number] = time.perf_counter() - self._zero_s
        self._status[number] = status
        if self._tally is not None:
            self._tally.answered(number, now_s - self._due[number], status)
        if not hinted and status == 503:
            self._unhinted.append(number)
        self._outstanding -= 1
        if slot is not None:
            self._use(slot)
        if not self._outstanding:
            self._check_finished()

    def lost(self, slot: Slot, number: int) -> None:
        """See ``Owner.lost``: its request has failed, and a new slot takes over."""
        with contextlib.suppress(ValueError):
            self._idle.remove(slot)
        if self._slots.lost(slot) and number != IDLE:
            self.answered(None, number, LOST, True)

    def _check_finished(self) -> None:
        if self._outstanding <= 0 and self._next == self._count:
            self._finished.set()

    def _use(self, slot: Slot) -> None:
        if self._backlog:
            slot.send(self._backlog.popleft())
        else:
            self._idle.append(slot)

    def _sum_up(self, cpu_share: float) -> Part:
        count = self._count
        due_s, lag_s = np.asarray(self._due[:count]), np.asarray(self._lag_s[:count])
        latency_s = np.asarray(self._answered_s[:count]) - due_s
        status, phase = np.asarray(self._status[:count], np.intp), self._phase[:count]
        unhinted = np.bincount(phase[self._unhinted], minlength=len(self._load.phases))
        measured = np.asarray([one.measured for one in self._load.phases])[phase]
        ends_s = np.cumsum([one.duration_s for one in self._load.phases])
        lag_s, reached_s = lag_s[measured], (due_s + lag_s)[measured]
        until_s = ends_s[-1] if self._stopped_s is None else self._stopped_s
        reports = []
        for index, one in enumerate(self._load.phases):
            mine = phase == index
            lasted_s = min(one.duration_s, until_s - (ends_s[index] - one.duration_s))
            if lasted_s <= 0:
                continue  # interrupted before it began
            reports.append(
                phase_report(
                    one,
                    float(lasted_s),
                    latency_s[mine],
                    status[mine],
                    int(unhinted[index]),
                    self._spec.slo_ms / 1e3,
                )
            )
        return Part(
            tool="open loop",
            phases=tuple(reports),
            slices=slices(due_s, latency_s, status, self._spec.slice_s),
            lag_histogram=histogram.encode(lag_s),
            late=int((lag_s > late_s(self._spec.slo_ms)).sum()),
            waited=int(measured[self._waited].sum()),
            scheduled=int(measured.sum()),
            dealt_with=int((reached_s <= until_s).sum()),
            cpu_share=cpu_share,
            interrupted=self._stopped_s is not None and not self._is_given_up,
            given_up=self._is_given_up,
        )
