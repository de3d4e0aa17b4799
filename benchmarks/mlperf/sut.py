"""LoadGen's "system under test": hands samples to the server and reports their answers.

LoadGen (C++) decides when a sample is due, takes the time and does the statistics. This side only
carries: requests go out over the same connections as our own generator's.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import uvloop

from benchmarks.loadgen.slots import Slots
from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import GRPC, IDLE, Slot
from benchmarks.loadgen.wires import open_wire

__all__ = ["Sample", "System"]


class Sample(Protocol):
    """LoadGen's ``QuerySample``."""

    id: int
    index: int


class System:
    """Runs an event loop in a thread of its own; ``issue`` is called from LoadGen's.

    Args:
        spec: where to, with which payloads over how many connections; its ``load`` is not used.
        complete: told the ids of answered samples, on the loop's thread, as many as there are.
    """

    def __init__(self, spec: LoadSpec, complete: Callable[[Sequence[int]], None]) -> None:
        self._spec = spec
        self._complete = complete
        self._issued: deque[tuple[int, int]] = deque()
        self._under_way: dict[int, int] = {}
        self._done: list[int] = []
        self._idle: list[Slot] = []
        self._serial = 0
        self._ready = threading.Event()
        self._ended = asyncio.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="mlperf-sut", daemon=True)
        self.failed = 0
        """Answers that were none: refused, an error, or lost. LoadGen knows no such thing."""

    def start(self) -> None:
        """Open the connections.

        Raises:
            OSError: the server cannot be reached.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Close the connections, once LoadGen has got all its answers."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def issue(self, samples: Sequence[Sample]) -> None:
        """LoadGen: these are due now. Called from its thread; returns at once."""
        self._issued.extend((sample.id, sample.index) for sample in samples)
        self._loop.call_soon_threadsafe(self._send)

    def answered(self, slot: Slot | None, number: int, status: int, hinted: bool) -> None:
        """See ``Owner.answered``."""
        self._finish(number, 200 <= status < 300 or status == GRPC)
        if slot is not None:
            self._use(slot)

    def lost(self, slot: Slot, number: int) -> None:
        """See ``Owner.lost``: LoadGen waits for every sample, so the lost one is given back too."""
        if number != IDLE:
            self._finish(number, False)
        if slot in self._idle:
            self._idle.remove(slot)
        self._slots.lost(slot)

    def _run(self) -> None:
        uvloop.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        wire = open_wire(self._spec, self)
        self._slots = Slots(wire, self._use)
        try:
            await self._slots.open(self._spec.connections)
        except OSError as error:
            self._error = error
            return
        finally:
            self._ready.set()
        await self._ended.wait()
        await self._slots.close()

    def _use(self, slot: Slot) -> None:
        self._idle.append(slot)
        self._send()

    def _send(self) -> None:
        payloads = len(self._spec.payloads)
        while self._idle and self._issued:
            identity, index = self._issued.popleft()
            # A number of its own that still picks the sample's payload.
            number = self._serial * payloads + index % payloads
            self._serial += 1
            self._under_way[number] = identity
            self._idle.pop().send(number)

    def _finish(self, number: int, good: bool) -> None:
        self.failed += not good
        if not self._done:
            # One call of LoadGen for all answers of a turn of the loop.
            self._loop.call_soon(self._report)
        self._done.append(self._under_way.pop(number))

    def _report(self) -> None:
        done, self._done = self._done, []
        self._complete(done)
