"""The open-loop generator: arrivals do not wait for answers.

Latency counts from the time a request was due, not from when it was sent, so that a server (or a
generator) that stalls is charged for everybody who would have come meanwhile. A request that is
due while every connection is busy waits its turn, and that wait counts as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from pathlib import Path

from benchmarks.loadgen.arrivals import schedule
from benchmarks.loadgen.connection import IDLE, Connection, connect
from benchmarks.loadgen.outcomes import NO_ANSWER, Outcomes
from benchmarks.loadgen.spec import OpenLoop, OpenResult

__all__ = ["run"]

TICK_S = 0.001  # uvloop's timers are no finer, and turning without one would burn a core
LEAD_S = 0.05  # from the schedule's start to its time zero


class Generator:
    """Owns the schedule and the connections of one run."""

    def __init__(self, spec: OpenLoop) -> None:
        self.request = Path(spec.request_file).read_bytes()
        times, phases = schedule(spec.phases, spec.arrivals, spec.seed)
        self._spec = spec
        self._outcomes = Outcomes(spec, times, phases)
        self._due = times.tolist()
        self._next = 0
        self._outstanding = 0
        self._idle: list[Connection] = []
        self._backlog: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._zero_s = 0.0
        self._sent = asyncio.Event()
        self._finished = asyncio.Event()
        self._closing = False

    async def run(self) -> OpenResult:
        """Send everything that is due, wait for the answers, and sum up."""
        loop = asyncio.get_running_loop()
        for _ in range(self._spec.connections):
            self._idle.append(await connect(self, self._spec.port))
        cpu_start = time.process_time()
        self._zero_s = time.perf_counter() + LEAD_S
        loop.call_later(LEAD_S, self._tick)
        await self._sent.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finished.wait(), self._spec.grace_s)
        cpu_s = time.process_time() - cpu_start
        self._closing = True
        await asyncio.gather(*self._tasks)
        for connection in self._idle:
            connection.close()
        return self._outcomes.sum_up(cpu_s)

    def _tick(self) -> None:
        """Send what has become due."""
        now_s = time.perf_counter() - self._zero_s
        number, due, lag = self._next, self._due, self._outcomes.lag_s
        count = len(due)
        while number < count and due[number] <= now_s:
            lag[number] = now_s - due[number]
            self._outstanding += 1
            if self._idle:
                self._idle.pop().send(number)
            else:
                self._backlog.append(number)
            number += 1
        self._next = number
        if number < count:
            asyncio.get_running_loop().call_later(TICK_S, self._tick)
        else:
            self._sent.set()
            self._check_finished()

    def answered(self, connection: Connection, number: int, status: int, retry_after: bool) -> None:
        """See ``Owner.answered``."""
        self._record(number, status, retry_after)
        self._use(connection)

    def lost(self, connection: Connection, number: int) -> None:
        """See ``Owner.lost``: the request has failed, and a new connection takes over."""
        if number != IDLE:
            self._record(number, NO_ANSWER, False)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        if not self._closing:
            task = asyncio.get_running_loop().create_task(self._replace())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _record(self, number: int, status: int, retry_after: bool) -> None:
        self._outcomes.answered_s[number] = time.perf_counter() - self._zero_s
        self._outcomes.status[number] = status
        if status == 503 and not retry_after:
            self._outcomes.without_hint.append(number)
        self._outstanding -= 1
        self._check_finished()

    def _check_finished(self) -> None:
        if not self._outstanding and self._next == len(self._due):
            self._finished.set()

    def _use(self, connection: Connection) -> None:
        if self._backlog:
            connection.send(self._backlog.popleft())
        else:
            self._idle.append(connection)

    async def _replace(self) -> None:
        with contextlib.suppress(OSError):  # the server is gone: what is left stays unanswered
            self._use(await connect(self, self._spec.port))


async def run(spec: OpenLoop) -> OpenResult:
    """Run one open-loop load."""
    return await Generator(spec).run()
