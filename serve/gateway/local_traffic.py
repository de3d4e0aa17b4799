"""The traffic of the models of one process: its authority, and who follows it."""

from __future__ import annotations

import asyncio
import logging

from serve.errors import PenstockError
from serve.gateway.following import Follower
from serve.gateway.model_control import ModelControl
from serve.repository.override import NO_OVERRIDE
from serve.traffic.authority import Authority, ModelTraffic
from serve.traffic.operations import Operation
from serve.traffic.state import Audit, ModelState

__all__ = ["LocalTraffic"]

log = logging.getLogger("penstock.traffic")

TICK_S = 0.5
"""The guards take what comes within two looks for one event (``serve.traffic.tally``)."""
OURSELVES = "this process"


class LocalTraffic:
    """Implements ``Operations``. Belongs to the event loop."""

    def __init__(self, authority: Authority, follower: Follower, control: ModelControl) -> None:
        self._authority = authority
        self._follower = follower
        self._control = control
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Follow the rules from now on; before any model is loaded.

        Raises:
            RepositoryError: the file of the rules cannot be used.
        """
        await self._authority.start()
        self._follower.follow(self._authority.state)
        self._authority.listen(self._follower.follow)

    def begin(self) -> None:
        """Look after the models, which have been loaded."""
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    def stop(self) -> None:
        """Change nothing any more."""
        if self._ticking is not None:
            self._ticking.cancel()

    async def close(self) -> None:
        """Let go of the file of the rules; the second time it has been done."""
        self.stop()
        if not self._closed:
            self._closed = True
            await self._authority.close()

    async def apply(
        self, model: str, operation: Operation, *, who: str, why: str = ""
    ) -> ModelState:
        """See ``Operations.apply``."""
        self._report()
        return await self._authority.apply(model, operation, who=who, why=why)

    async def traffic_report(self, model: str) -> ModelTraffic:
        """See ``Operations.traffic_report``."""
        self._report()
        return await self._authority.traffic_report(model)

    async def audit(self, model: str = "", limit: int = 100, before: int = 0) -> list[Audit]:
        """See ``Operations.audit``."""
        return await self._authority.audit(model, limit, before)

    async def load(self, model: str, *, who: str, why: str = "") -> None:
        """See ``Operations.load``."""
        await self._control.load(model, NO_OVERRIDE)
        await self._note(model, "load", who, why)

    async def unload(self, model: str, *, who: str, why: str = "") -> None:
        """See ``Operations.unload``."""
        await self._control.unload(model)
        await self._note(model, "unload", who, why)

    async def _note(self, model: str, what: str, who: str, why: str) -> None:
        try:
            await self._authority.note(model, what, who=who, why=why)
        except PenstockError as error:  # it has been done
            log.error("%s of '%s' by %s is not in the audit log: %s", what, model, who, error)

    def _report(self) -> None:
        self._authority.report(OURSELVES, self._follower.report())

    async def _tick(self) -> None:
        while True:
            try:
                self._report()
                await self._authority.tick()
            except Exception:
                log.exception("rollouts are not judged, and are tried again")
            await asyncio.sleep(TICK_S)
