"""A closed-loop generator, for machines without wrk: every connection always has one request."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.loadgen.connection import IDLE, Connection, connect
from benchmarks.loadgen.percentiles import latency_ms
from benchmarks.loadgen.spec import ClosedLoop, LoadResult

__all__ = ["run"]


class Generator:
    """Keeps every connection busy until the time is up."""

    def __init__(self, spec: ClosedLoop) -> None:
        self.request = Path(spec.request_file).read_bytes()
        self._spec = spec
        self._end_s = 0.0
        self._sent_s: list[float] = []
        self._latency_s: list[float] = []
        self._failed = 0

    async def run(self) -> LoadResult:
        """Run for the time asked; answers that come later are not counted."""
        connections = [await connect(self, self._spec.port) for _ in range(self._spec.connections)]
        start_s = time.perf_counter()
        self._end_s = start_s + self._spec.duration_s
        for connection in connections:
            self._send(connection)
        await asyncio.sleep(self._spec.duration_s)
        elapsed_s = time.perf_counter() - start_s
        latency = latency_ms(self._latency_s)
        result = LoadResult(
            tool="own closed loop",
            requests=len(self._latency_s) + self._failed,
            failed=self._failed,
            duration_s=elapsed_s,
            p50_ms=latency.p50,
            p99_ms=latency.p99,
        )
        for connection in connections:
            connection.close()
        return result

    def _send(self, connection: Connection) -> None:
        self._sent_s.append(time.perf_counter())
        connection.send(len(self._sent_s) - 1)

    def answered(self, connection: Connection, number: int, status: int, retry_after: bool) -> None:
        """See ``Owner.answered``."""
        now_s = time.perf_counter()
        if 200 <= status < 300:
            self._latency_s.append(now_s - self._sent_s[number])
        else:
            self._failed += 1
        if now_s < self._end_s:
            self._send(connection)

    def lost(self, connection: Connection, number: int) -> None:
        """See ``Owner.lost``: the connection is not replaced, its request has failed."""
        if number != IDLE and time.perf_counter() < self._end_s:
            self._failed += 1


async def run(spec: ClosedLoop) -> LoadResult:
    """Run one closed-loop load."""
    return await Generator(spec).run()
