"""The rules as they count, and as they are written: what a change is, whatever the disk does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from serve.errors import PenstockError, Unavailable
from serve.traffic.state import Audit, ModelState, TrafficState
from serve.traffic.store import StaleError, Store

__all__ = ["Ledger", "Listener"]

log = logging.getLogger("penstock.traffic")

T = TypeVar("T")
Listener = Callable[[TrafficState], None]


class Ledger:
    """The state that all follow. Belongs to an event loop; the disk has a thread of its own.

    Calls must not overlap, but for ``audit``.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        # shared
        self._store = store
        self._loop = loop
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="traffic-rules")
        # state
        self.state = TrafficState()
        self._listeners: list[Listener] = []
        self._unwritten: list[Audit] = []
        self._said = ""

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called, on the loop, with the rules after each change."""
        self._listeners.append(listener)

    async def load(self) -> None:
        """Let count what is written; raises RepositoryError if it cannot be read."""
        state = await self.on_disk(self._store.load)
        if state != self.state:
            self.state = state
            self._tell()

    async def follow_others(self) -> None:
        """Write what could not be written, and follow what another server has changed."""
        await self.write_again()
        if not self._unwritten and await self.on_disk(self._store.changed):
            try:
                await self.load()
            except PenstockError as error:
                self.say_once(f"all rules stay as they are: {error}")

    async def lease(self, owner: str, now_s: float, for_s: float) -> bool:
        """See ``Store.lease``."""
        return await self.on_disk(partial(self._store.lease, owner, now_s, for_s))

    async def audit(self, model: str, limit: int, before: int) -> list[Audit]:
        """See ``Store.audit``."""
        return await self.on_disk(partial(self._store.audit, model, limit, before))

    async def change(self, line: Audit, *, at_once: bool = False) -> ModelState:
        """Make the change of a line count, once it is written.

        ``at_once``: it counts before, and is tried to be written for as long as it takes.

        Raises:
            StaleError: there are other rules by now than those that it was made of.
            Unavailable: it is not written. Then it counts only if that was wanted ``at_once``.
        """
        if at_once:
            self._follow(line)
            self._unwritten.append(line)
            if problem := await self.write_again():
                raise Unavailable(
                    f"done, and followed by all; but not written, and tried again: {problem}"
                )
            return line.after
        revision = self.state.revision
        if self._unwritten and (problem := await self.write_again()):
            raise Unavailable(problem)
        if self.state.revision != revision:
            raise StaleError
        await self.on_disk(partial(self._store.commit, revision, _kept(line), line))
        self._follow(line)
        return line.after

    async def write_again(self) -> str:
        """Write what counts already, and could not be written; what is wrong if it still cannot."""
        while self._unwritten:
            line = self._unwritten[0]
            revision = self.state.revision - len(self._unwritten)
            try:
                await self.on_disk(partial(self._store.commit, revision, _kept(line), line))
            except StaleError:
                await self._merge()
                continue
            except PenstockError as error:
                self.say_once(f"rules count, and are not written: {error}")
                return str(error)
            del self._unwritten[0]
        return ""

    async def on_disk(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, in the thread for the disk."""
        return await self._loop.run_in_executor(self._disk, work)

    async def close(self) -> None:
        """Let go of the file."""
        await self.on_disk(self._store.close)
        self._disk.shutdown(wait=False)

    def say_once(self, problem: str) -> None:
        """Log something once, that is the same twice a second."""
        if problem != self._said:
            log.error("%s", problem)
        self._said = problem

    async def _merge(self) -> None:
        """Another server has written meanwhile; what counts here goes on top of that."""
        theirs = await self.on_disk(self._store.load)
        mine = {line.model: _kept(line) for line in self._unwritten}
        models = {name: state for name, state in theirs.models.items() if name not in mine}
        models |= {name: state for name, state in mine.items() if state is not None}
        revision = theirs.revision + len(self._unwritten)
        self.state = TrafficState(revision=revision, models=models)
        self._tell()

    def _follow(self, line: Audit) -> None:
        models = {name: state for name, state in self.state.models.items() if name != line.model}
        if (kept := _kept(line)) is not None:
            models[line.model] = kept
        self.state = TrafficState(revision=self.state.revision + 1, models=models)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self.state)


def _kept(line: Audit) -> ModelState | None:
    """The state as it is kept; None: nothing of it differs from ``model.yaml``."""
    after = line.after
    plain = after.labels is None and after.traffic is None and after.rollout is None
    return None if plain else after
