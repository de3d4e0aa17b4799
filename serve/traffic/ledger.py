"""The rules as they count, and as they are written: what a change is, whatever the disk does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from serve.errors import PenstockError, Unavailable
from serve.traffic.state import Audit, ModelState, TrafficState
from serve.traffic.store import StaleError, Store

__all__ = ["Ledger", "Listener"]

log = logging.getLogger("penstock.traffic")

CLOSE_S = 2.0

T = TypeVar("T")
Listener = Callable[[TrafficState], None]


class Ledger:
    """What is written, and on top of it the changes that count and could not be written yet.

    Belongs to an event loop; the disk has a thread of its own. Of ``load``, ``follow_others``,
    ``change`` and ``write`` one is to be awaited at a time; all else may be called meanwhile.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        # shared
        self._store = store
        self._loop = loop
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="traffic-rules")
        # state
        self.state = TrafficState()
        self._written = TrafficState()
        self._unwritten: list[Audit] = []
        self._listeners: list[Listener] = []
        self._said: dict[str, str] = {}

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called, on the loop, with the rules after each change."""
        self._listeners.append(listener)

    async def load(self) -> None:
        """Let count what is written; raises RepositoryError if it cannot be read."""
        self._written = await self.on_disk(self._store.load)
        self._settle()

    async def follow_others(self) -> None:
        """Write what could not be written, and follow what another server has changed."""
        await self.write()
        if await self.on_disk(self._store.changed):
            try:
                await self.load()
                self.say_once("", "")
            except PenstockError as error:
                self.say_once("", f"all rules stay as they are: {error}")

    def change_now(self, line: Audit) -> None:
        """Make the change of a line count, before it is written: ``write`` does that."""
        self._unwritten.append(line)
        self._settle()

    async def change(self, line: Audit) -> None:
        """Write the change of a line; it counts from then on.

        Raises:
            StaleError: the model's rules are no more those that the change was made of.
            Unavailable: it cannot be written, and does not count.
        """
        if problem := await self.write():
            raise Unavailable(problem)
        if self.state.of(line.model) != line.before:
            raise StaleError
        await self._commit(line)
        self._settle()

    async def write(self) -> str:
        """Write what counts, and is not written; what is wrong if that cannot be done."""
        while self._unwritten:
            try:
                await self._commit(self._unwritten[0])
            except StaleError:  # another server was faster; what counts here goes on top
                try:
                    await self.load()
                except PenstockError as error:
                    return self._not_written(error)
                continue
            except PenstockError as error:
                return self._not_written(error)
            del self._unwritten[0]
            self._settle()
        return ""

    async def on_disk(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, in the thread for the disk."""
        return await self._loop.run_in_executor(self._disk, work)

    async def lease(self, owner: str, now_s: float, for_s: float) -> bool:
        """See ``Store.lease``."""
        return await self.on_disk(partial(self._store.lease, owner, now_s, for_s))

    async def audit(self, model: str, limit: int, before: int) -> list[Audit]:
        """See ``Store.audit``."""
        return await self.on_disk(partial(self._store.audit, model, limit, before))

    async def close(self) -> None:
        """Let go of the file; a disk that hangs is not waited for."""
        closed = self._loop.run_in_executor(self._disk, self._store.close)
        await asyncio.wait({closed}, timeout=CLOSE_S)
        self._disk.shutdown(wait=False)

    def say_once(self, topic: str, problem: str) -> None:
        """Log a problem that is the same twice a second; "" says that it is over."""
        if problem and problem != self._said.get(topic):
            log.error("%s", problem)
        self._said[topic] = problem

    # inside

    async def _commit(self, line: Audit) -> None:
        revision = self._written.revision
        await self.on_disk(partial(self._store.commit, revision, _kept(line), line))
        self._written = _with(self._written, [line])

    def _not_written(self, error: PenstockError) -> str:
        self.say_once("", f"rules count that are not written: {error}")
        return str(error)

    def _settle(self) -> None:
        """Let count what is written, with what is not on top, and tell all who follow."""
        state = _with(self._written, self._unwritten)
        if state == self.state:
            return
        self.state = state
        for listener in self._listeners:
            try:
                listener(state)
            except Exception:  # one that fails must not keep the rules from the others
                log.exception("the traffic rules could not be followed")


def _with(state: TrafficState, lines: Iterable[Audit]) -> TrafficState:
    """The rules after these changes."""
    models, revision = dict(state.models), state.revision
    for line in lines:
        revision += 1
        models.pop(line.model, None)
        if (kept := _kept(line)) is not None:
            models[line.model] = kept
    return TrafficState(revision=revision, models=models)


def _kept(line: Audit) -> ModelState | None:
    """The state as it is kept; None: nothing of it differs from ``model.yaml``."""
    after = line.after
    plain = after.labels is None and after.traffic is None and after.rollout is None
    return None if plain else after
