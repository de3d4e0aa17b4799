"""The slots of one generator: opened before it starts, replaced when they are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.loadgen.wire import Slot, Wire

__all__ = ["Slots"]

RECONNECT_S = 0.05


class Slots:
    """Owns every slot; ``use`` is handed each one that becomes free by being opened."""

    def __init__(self, wire: Wire, use: Callable[[Slot], None]) -> None:
        self._wire = wire
        self._use = use
        self._open: set[Slot] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def open(self, count: int) -> None:
        """Open so many.

        Raises:
            OSError: the server cannot be reached.
        """
        for _ in range(count):
            self._add(await self._wire.open())

    def lost(self, slot: Slot) -> bool:
        """A slot is gone: another one is opened for it, unless everything is being closed."""
        self._open.discard(slot)
        if self._closing:
            return False
        task = asyncio.get_running_loop().create_task(self._replace())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Close them all, and the wire."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        for slot in self._open:
            slot.close()
        await self._wire.close()

    def _add(self, slot: Slot) -> None:
        self._open.add(slot)
        self._use(slot)

    async def _replace(self) -> None:
        """Try for as long as the run lasts: a server that restarts is found again."""
        while not self._closing:
            try:
                self._add(await self._wire.open())
            except OSError:
                await asyncio.sleep(RECONNECT_S)
            else:
                return
