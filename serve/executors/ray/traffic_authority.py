"""The authority over traffic rules, as an actor of Ray: gateways follow it and report to it.

What is asked of a gateway's admin port is handed on to it. Its rules are in a file on the head's
disk: Ray starts another one if it is lost, which goes on where this one was. Imports no ray.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from uuid import uuid4

import msgspec

from serve import __version__
from serve.clock import steady_epoch
from serve.config import ServerSettings
from serve.errors import InternalError, PenstockError
from serve.executors.remote.messages import Failure
from serve.monitoring.logs import set_up_logs
from serve.repository.catalogue import Catalogue
from serve.traffic.authority import Authority, ModelTraffic, VersionSeen
from serve.traffic.operations import Operation
from serve.traffic.state import Audit, ModelState, TrafficState
from serve.traffic.store import STATE, Store

__all__ = ["AuthoritySpec", "Told", "TrafficAuthority"]

log = logging.getLogger("penstock.traffic")

TICK_S = 0.5
"""The guards take what comes within two looks for one event (``serve.traffic.tally``)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AuthoritySpec:
    """``state`` is the file of the rules, ``repository`` where the models are, on the head.

    ``release`` is Penstock's: an authority of another one is replaced.
    """

    state: Path
    repository: Path
    release: str
    log_level: str
    log_format: Literal["text", "json"]

    @classmethod
    def of(cls, settings: ServerSettings, repository: Path) -> AuthoritySpec:
        """What a server's settings ask for."""
        return cls(
            state=(settings.state or repository / STATE).absolute(),
            repository=repository,
            release=__version__,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )


class Told(msgspec.Struct, frozen=True):
    """The rules as they are; ``mark`` is another one after each change, and after a restart."""

    mark: str
    state: TrafficState


def make_authority(spec: AuthoritySpec) -> Authority:
    """The authority of a file; belongs to the running loop."""
    loop = asyncio.get_running_loop()
    return Authority(Store(spec.state), Catalogue(spec.repository), steady_epoch(), loop)


class TrafficAuthority:
    """What Ray makes of a spec. Every method belongs to the actor's event loop.

    A method gives a ``Failure`` where the authority raises an error for users.
    """

    def __init__(
        self, spec: AuthoritySpec, make: Callable[[AuthoritySpec], Authority] = make_authority
    ) -> None:
        set_up_logs(spec.log_level, spec.log_format)
        self._spec = spec
        self._make = make
        self._run = uuid4().hex
        self._beginning = asyncio.Lock()
        self._authority: Authority | None = None
        self._told = Told("", TrafficState())
        self._changed = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None

    async def spec(self) -> AuthoritySpec:
        """Of what it was made; also for whoever wants to know that it is there."""
        return self._spec

    async def changes(self, known: str = "", wait_s: float = 0.0) -> Told | Failure | None:
        """The rules, as soon as their mark is not ``known``; None: it still is after ``wait_s``."""
        try:
            await self._begun()
        except PenstockError as error:
            return Failure.of(error)
        if known == self._told.mark:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)
        return self._told if known != self._told.mark else None

    async def report(
        self, gateway: str, models: Mapping[str, Mapping[int, VersionSeen]]
    ) -> Failure | None:
        """How the versions fare at a gateway."""

        async def done() -> None:
            (await self._begun()).report(gateway, models)

        return await _outcome(done())

    async def apply(
        self, model: str, operation: Operation, who: str, why: str
    ) -> ModelState | Failure:
        """See ``Authority.apply``."""

        async def done() -> ModelState:
            return await (await self._begun()).apply(model, operation, who=who, why=why)

        return await _outcome(done())

    async def traffic_report(self, model: str) -> ModelTraffic | Failure:
        """See ``Authority.traffic_report``."""

        async def done() -> ModelTraffic:
            return await (await self._begun()).traffic_report(model)

        return await _outcome(done())

    async def audit(self, model: str, limit: int, before: int) -> list[Audit] | Failure:
        """See ``Authority.audit``."""

        async def done() -> list[Audit]:
            return await (await self._begun()).audit(model, limit, before)

        return await _outcome(done())

    # inside

    async def _begun(self) -> Authority:
        """The authority, with the rules of its file; raises what the file is refused for."""
        async with self._beginning:
            if self._authority is None:
                authority = self._make(self._spec)
                await authority.start()
                authority.listen(self._tell)
                self._tell(authority.state)
                self._ticking = asyncio.get_running_loop().create_task(self._tick(authority))
                self._authority = authority
            return self._authority

    def _tell(self, state: TrafficState) -> None:
        """Answer all who wait for a change."""
        self._told = Told(f"{self._run}:{state.revision}", state)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _tick(self, authority: Authority) -> None:
        while True:
            try:
                await authority.tick()
            except Exception:
                log.exception("rollouts are not judged, and are tried again")
            await asyncio.sleep(TICK_S)


async def _outcome(work: Awaitable[T]) -> T | Failure:
    try:
        return await work
    except PenstockError as error:
        return Failure.of(error)
    except Exception as error:
        log.exception("what was asked of the authority over traffic rules could not be done")
        return Failure.of(InternalError(f"{type(error).__name__} in the authority: see its log"))
