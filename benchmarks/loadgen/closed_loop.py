"""The closed-loop generator: every slot always has one request under way.

It goes as fast as the server answers, and so shows the server's limit; its latencies are those of
so many callers who wait for each other's answers, not of users who come when they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import numpy as np

from benchmarks.loadgen import histogram
from benchmarks.loadgen.outcomes import Part, phase_report, slices
from benchmarks.loadgen.slots import Slots
from benchmarks.loadgen.spec import ClosedLoop, LoadSpec, Phase
from benchmarks.loadgen.wire import IDLE, LOST, Slot
from benchmarks.loadgen.wires import open_wire

__all__ = ["ClosedGenerator"]


class ClosedGenerator:
    """Keeps every slot busy until the time is up."""

    def __init__(self, spec: LoadSpec, load: ClosedLoop, process: int = 0) -> None:
        # Shared
        self._spec = spec
        self._load = load
        self._slots = Slots(open_wire(spec, self), self._use)
        self._idle: list[Slot] = []
        # An element a request, in the order of sending
        self._sent_s: list[float] = []
        self._answered_s: list[float] = []
        self._status: list[int] = []
        self._unhinted: list[int] = []
        # Of the run
        self._outstanding = 0
        self._zero_s = 0.0
        self._end_s = load.warmup_s + load.duration_s
        self._stop = asyncio.Event()
        self._drained = asyncio.Event()
        self._running = False

    async def connect(self, slots: int) -> None:
        """Open the slots."""
        await self._slots.open(slots)

    async def run(self, zero_s: float) -> Part:
        """Run for the time asked, wait for the last answers and sum up."""
        await asyncio.sleep(max(0.0, zero_s - time.perf_counter()))
        self._zero_s = zero_s
        cpu_start_s, start_s = time.process_time(), time.perf_counter()
        self._running = True
        while self._idle:
            self._send(self._idle.pop())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._end_s)
        interrupted, self._running = self._stop.is_set(), False
        lasted_s = time.perf_counter() - start_s
        cpu_share = (time.process_time() - cpu_start_s) / lasted_s
        if interrupted:
            self._end_s = min(self._end_s, lasted_s)
        if self._outstanding:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), self._spec.grace_s)
        await self._slots.close()
        return self._sum_up(cpu_share, interrupted)

    def stop(self) -> None:
        """Send no more; what was sent is still waited for and reported."""
        self._stop.set()

    def _send(self, slot: Slot) -> None:
        number = len(self._sent_s)
        self._sent_s.append(time.perf_counter() - self._zero_s)
        self._answered_s.append(0.0)
        self._status.append(LOST)
        self._outstanding += 1
        slot.send(number)

    def answered(self, slot: Slot | None, number: int, status: int, hinted: bool) -> None:
        """See ``Owner.answered``."""
        now_s = time.perf_counter() - self._zero_s
        self._answered_s[number] = now_s
        self._status[number] = status
        self._outstanding -= 1
        if not hinted and status == 503:
            self._unhinted.append(number)
        if slot is not None and self._running and now_s < self._end_s:
            self._send(slot)
        elif not self._outstanding:
            self._drained.set()

    def lost(self, slot: Slot, number: int) -> None:
        """See ``Owner.lost``: its request has failed, and a new slot takes over."""
        if self._slots.lost(slot) and number != IDLE:
            self.answered(None, number, LOST, True)

    def _use(self, slot: Slot) -> None:
        if self._running:
            self._send(slot)
        else:
            self._idle.append(slot)

    def _sum_up(self, cpu_share: float, interrupted: bool) -> Part:
        sent_s, answered_s = np.asarray(self._sent_s), np.asarray(self._answered_s)
        status = np.asarray(self._status, np.intp)
        latency_s = answered_s - sent_s
        # What never came back belongs to the time that counts, or a server that hangs looks well.
        ended_s = np.where(answered_s > 0, answered_s, self._load.warmup_s)
        bounds = (0.0, self._load.warmup_s, self._end_s, np.inf)
        unhinted = np.zeros(len(status), bool)
        unhinted[self._unhinted] = True
        reports = []
        for index, name in enumerate(("warmup", "closed", "drain")):
            mine = (ended_s >= bounds[index]) & (ended_s < bounds[index + 1])
            lasted_s = max(0.0, min(bounds[index + 1], float(ended_s.max())) - bounds[index])
            if name == "closed":
                lasted_s = max(0.0, self._end_s - self._load.warmup_s)
            elif not mine.any():
                continue
            reports.append(
                phase_report(
                    Phase(name, 0.0, lasted_s, measured=name == "closed"),
                    lasted_s,
                    latency_s[mine],
                    status[mine],
                    int(unhinted[mine].sum()),
                    self._spec.slo_ms / 1e3,
                )
            )
        return Part(
            tool="closed loop",
            phases=tuple(reports),
            slices=slices(sent_s, latency_s, status, self._spec.slice_s),
            lag_histogram=histogram.encode(np.empty(0)),
            cpu_share=cpu_share,
            interrupted=interrupted,
        )
