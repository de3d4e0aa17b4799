"""Bringing the models of a repository to life, each on its own: one that fails stops no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from serve.backends.base import BackendSource
from serve.clock import NS_PER_MS, NS_PER_S, Clock
from serve.errors import PenstockError
from serve.executors.live import LiveModel
from serve.executors.loader import Prepared, go_live, source_of
from serve.gateway.endpoint import Endpoint
from serve.gateway.loading import not_loaded_in_time, start_load
from serve.monitoring.metrics import ServerMetrics
from serve.repository.entry import Repository
from serve.repository.table import ModelTable

__all__ = ["Controller", "source_of"]

log = logging.getLogger("penstock.models")

PARALLEL_LOADS = 2
"""More would only share the same cores, and make the first model ready later."""

PATIENCE_S = 10.0
"""After it the next load starts beside one that is not done: it may be waiting, for ever even."""

DEFAULT_LOAD_TIMEOUT_S = 600.0


class Controller:
    """Loads and closes versions, and keeps the table of them."""

    def __init__(
        self,
        table: ModelTable[Endpoint],
        metrics: ServerMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        *,
        load_timeout_s: float = DEFAULT_LOAD_TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        make_endpoint: Callable[[LiveModel, Clock], Endpoint] = Endpoint,
    ) -> None:
        """``load_timeout_s``: after it a version is UNAVAILABLE, whatever it waits for."""
        self._make_endpoint = make_endpoint
        self._load_timeout_s = load_timeout_s
        self._patience_s = patience_s
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._loop = loop
        self.failures = 0

    async def load_all(self, repository: Repository) -> None:
        """Load every version that the repository's policies ask for; never raises for one."""
        for broken in repository.broken.values():
            self._failed(broken.name, 0, broken.error)
        for model in repository.unbuilt.values():
            log.info("model '%s' is not served: %s", model.name, model.error)
        pending = []
        for entry in repository.models.values():
            for warning in entry.warnings:
                log.warning("%s", warning)
            for number, error in entry.broken_versions.items():
                self._failed(entry.name, number, error)
            for version in entry.versions:
                self._table.set_loading(entry.name, version.number)
                pending.append(source_of(entry, version))
        await self._load(pending)

    async def _load(self, sources: Iterable[BackendSource]) -> None:
        places = asyncio.Semaphore(PARALLEL_LOADS)
        await asyncio.gather(*(self._load_one(source, places) for source in sources))

    async def _load_one(self, source: BackendSource, places: asyncio.Semaphore) -> None:
        try:
            async with places:
                started_ns = self._clock()
                load = asyncio.wrap_future(start_load(source, self._clock))
                await asyncio.wait((load,), timeout=min(self._patience_s, self._load_timeout_s))
            waited_s = (self._clock() - started_ns) / NS_PER_S
            try:
                async with asyncio.timeout(max(0.0, self._load_timeout_s - waited_s)):
                    prepared = await load
            except TimeoutError:
                raise not_loaded_in_time(source, self._load_timeout_s) from None
            self._put_live(prepared)
        except PenstockError as error:
            self._failed(source.model_name, source.version, error)
            return
        except Exception as error:
            log.exception("model '%s' failed to load", source.model_name)
            self._failed(source.model_name, source.version, error)
            return
        log.info(
            "model '%s' version %d is ready (%s, %.0f ms)",
            source.model_name,
            source.version,
            prepared.backend.platform(),
            (self._clock() - started_ns) / NS_PER_MS,
        )

    def _put_live(self, prepared: Prepared) -> None:
        source = prepared.source
        metrics = self._metrics.version(source.model_name, str(source.version))
        live = go_live(prepared, metrics, self._clock, self._loop)
        try:
            endpoint = self._make_endpoint(live, self._clock)
        except PenstockError:
            live.close()
            raise
        self._table.set_ready(source.model_name, source.version, endpoint)

    def _failed(self, name: str, version: int, error: Exception) -> None:
        self.failures += 1
        where = f"model '{name}' version {version}" if version else f"model '{name}'"
        log.error("%s is not served: %s", where, error)
        self._table.set_unavailable(name, version, str(error))

    def idle(self) -> bool:
        """Whether every accepted request has been answered."""
        return all(endpoint.live.batcher.idle for endpoint in self._table.handles())

    def close(self) -> None:
        """Close every live version; what was not answered gets an error."""
        for endpoint in list(self._table.handles()):
            endpoint.live.close()
