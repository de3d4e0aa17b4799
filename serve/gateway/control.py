"""Bringing the models of a repository to life, each on its own: one that fails stops no other.

A version that is to replace another is loaded and warmed beside it. The change itself is one step
on the event loop: whoever asks before it is answered by the old version, whoever asks after it by
the new one.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from serve.backends.base import BackendSource
from serve.clock import NS_PER_MS, NS_PER_S, Clock
from serve.config import ModelConfig
from serve.errors import InternalError, PenstockError
from serve.executors.live import LiveModel
from serve.executors.loader import Prepared, go_live, source_of
from serve.gateway.endpoint import Endpoint
from serve.gateway.loading import not_loaded_in_time, start_load
from serve.monitoring.metrics import ServerMetrics
from serve.repository.entry import BrokenModel, ModelEntry, Repository
from serve.repository.identity import Identity, identity_of, with_model_settings
from serve.repository.manifest import Manifest
from serve.repository.table import WHOLE_MODEL, ModelTable

__all__ = ["Controller", "source_of"]

log = logging.getLogger("penstock.models")

PARALLEL_LOADS = 2
"""At the start. More would only share the same cores, and make the first model ready later."""

PATIENCE_S = 10.0
"""After it the next load starts beside one that is not done: it may be waiting, for ever even."""

DEFAULT_LOAD_TIMEOUT_S = 600.0
DEFAULT_DRAIN_TIMEOUT_S = 30.0
DRAIN_POLL_S = 0.02


@dataclass(slots=True, eq=False)
class _Served:
    """A version that answers, and what it was made of; ``files`` are those of a load request."""

    identity: Identity
    prepared: Prepared
    endpoint: Endpoint
    files: tempfile.TemporaryDirectory[str] | None = None

    @property
    def live(self) -> LiveModel:
        return self.endpoint.live


class Controller:
    """Loads and closes versions, and keeps the table of them. Belongs to the event loop."""

    def __init__(
        self,
        table: ModelTable[Endpoint],
        metrics: ServerMetrics,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        *,
        load_timeout_s: float = DEFAULT_LOAD_TIMEOUT_S,
        drain_timeout_s: float = DEFAULT_DRAIN_TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        make_endpoint: Callable[[LiveModel, Clock], Endpoint] = Endpoint,
        place: Callable[[str, ModelConfig], None] | None = None,
    ) -> None:
        """``load_timeout_s``: after it a version is UNAVAILABLE, whatever it waits for.

        ``drain_timeout_s``: so long a version that goes may still answer what it has accepted.
        ``place`` is told the settings of a model that count from now on, and sees to its labels in
        the table; default: they are those of the settings.
        """
        # shared
        self._load_timeout_s = load_timeout_s
        self._drain_timeout_s = drain_timeout_s
        self._patience_s = patience_s
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._loop = loop
        self._make_endpoint = make_endpoint
        self._place = place or (lambda name, config: table.set_labels(name, config.labels))
        # state
        self.failures = 0
        self._served: dict[tuple[str, int], _Served] = {}
        self._retiring: dict[_Served, asyncio.Task[None]] = {}
        # Beside live traffic one load is enough to take its cores away.
        self._beside = asyncio.Semaphore(1)

    async def load_all(self, repository: Repository) -> None:
        """Load every version that the repository's policies ask for; never raises for one."""
        for broken in repository.broken.values():
            self.say_broken(broken)
        for model in repository.unbuilt.values():
            self.say_broken(model)
        places = asyncio.Semaphore(PARALLEL_LOADS)
        loads: list[Awaitable[None]] = []
        for entry in repository.models.values():
            self._say_warnings(entry)
            self._place(entry.name, entry.config)
            for version in entry.versions:
                self._table.set_loading(entry.name, version.number)
                identity = identity_of(entry, version)
                loads.append(self._load_at_once(identity, source_of(entry, version), places))
        await asyncio.gather(*loads)

    async def bring(
        self,
        entry: ModelEntry,
        files: tempfile.TemporaryDirectory[str] | None = None,
        *,
        again: bool = False,
    ) -> dict[int, PenstockError]:
        """Serve a model as ``entry`` has it; what stays the same is not touched.

        ``files`` is the folder of a load request, which lives as long as what is made of it;
        ``again``: load also what is the same. Calls for one model must not overlap. Returns when
        all is done, with the versions that cannot be served and why; while there are any, all
        that served the model before goes on.
        """
        self._say_warnings(entry)
        failed: dict[int, PenstockError] = dict(entry.broken_versions)
        ready: list[_Served] = []
        for version in entry.versions:
            served = self._served.get((entry.name, version.number))
            identity = identity_of(entry, version)
            if served is not None and served.identity == identity and not again:
                continue
            if served is None:
                self._table.set_loading(entry.name, version.number)
            try:
                prepared = await self._prepared(source_of(entry, version), self._beside)
                ready.append(self._go_live(identity, prepared, files))
            except PenstockError as error:
                failed[version.number] = error
            except asyncio.CancelledError:
                for each in ready:
                    each.live.close()
                self._drop(files)
                raise
        self._change(entry, ready, failed)
        self._drop(files)
        return failed

    async def unload(self, name: str) -> tuple[int, ...]:
        """Take a model out of service; returns its versions when they have answered and are freed.

        What is still unanswered after the drain time-out gets an error.
        """
        leaving = [number for served, number in self._served if served == name]
        for number in leaving:
            self._table.set_unloading(name, number)
        await asyncio.gather(*(self._retire(self._served.pop((name, n))) for n in leaving))
        self._table.remove_model(name)
        if leaving:
            log.info("model '%s' is unloaded", name)
        return tuple(leaving)

    def serves(self, name: str = "") -> bool:
        """Whether any version of a model is loaded; without a name, of any."""
        return any(name in ("", served) for served, _ in self._served)

    def manifests(self, name: str) -> dict[str, Manifest]:
        """What the loaded versions of a model were loaded with, for those that have a manifest."""
        return {
            str(number): served.prepared.manifest
            for (model, number), served in self._served.items()
            if model == name and served.prepared.manifest is not None
        }

    def say_broken(self, model: BrokenModel) -> None:
        """Of a model that cannot be loaded, say why; what serves it goes on."""
        if model.unbuilt:
            log.info("model '%s' is not served: %s", model.name, model.error)
        elif self.serves(model.name):
            for name, number in self._served:
                if name == model.name:
                    self._failed(name, number, model.error)
        else:
            self._table.remove_model(model.name)
            self._failed(model.name, WHOLE_MODEL, model.error)

    def idle(self) -> bool:
        """Whether every accepted request has been answered."""
        everything = [*self._served.values(), *self._retiring]
        return all(served.live.batcher.idle for served in everything)

    def close(self) -> None:
        """Close every live version; what was not answered gets an error."""
        for task in self._retiring.values():
            task.cancel()
        for served in [*self._served.values(), *self._retiring]:
            served.live.close()
        left = {served.files for served in (*self._served.values(), *self._retiring)}
        self._served.clear()
        self._retiring.clear()
        for files in left:
            self._drop(files)

    # loading

    async def _load_at_once(
        self, identity: Identity, source: BackendSource, places: asyncio.Semaphore
    ) -> None:
        """Load a version that replaces none, and let it answer as soon as it can."""
        try:
            served = self._go_live(identity, await self._prepared(source, places))
        except PenstockError as error:
            self._failed(source.model_name, source.version, error)
        else:
            self._put(served)

    async def _prepared(self, source: BackendSource, places: asyncio.Semaphore) -> Prepared:
        """Load and warm a version when it is its turn; whatever is wrong is a PenstockError."""
        async with places:
            started_ns = self._clock()
            beside = places is self._beside
            load = asyncio.wrap_future(start_load(source, self._clock, beside=beside))
            try:
                await asyncio.wait((load,), timeout=min(self._patience_s, self._load_timeout_s))
            except asyncio.CancelledError:
                load.cancel()
                raise
        waited_s = (self._clock() - started_ns) / NS_PER_S
        try:
            async with asyncio.timeout(max(0.0, self._load_timeout_s - waited_s)):
                prepared = await load
        except TimeoutError:
            raise not_loaded_in_time(source, self._load_timeout_s) from None
        except PenstockError:
            raise
        except Exception as error:
            log.exception("model '%s' failed to load", source.model_name)
            raise InternalError(f"{type(error).__name__}: {error}") from error
        took_ms = (self._clock() - started_ns) / NS_PER_MS
        log.info(
            "model '%s' version %d took %.0f ms to load", source.model_name, source.version, took_ms
        )
        return prepared

    def _go_live(
        self,
        identity: Identity,
        prepared: Prepared,
        files: tempfile.TemporaryDirectory[str] | None = None,
    ) -> _Served:
        """A version that could answer, before anybody is sent to it."""
        source = prepared.source
        metrics = self._metrics.version(source.model_name, str(source.version))
        live = go_live(prepared, metrics, self._clock, self._loop)
        try:
            endpoint = self._make_endpoint(live, self._clock)
        except PenstockError:
            live.close()
            raise
        return _Served(identity, prepared, endpoint, files)

    # changing

    def _change(
        self, entry: ModelEntry, ready: Iterable[_Served], failed: dict[int, PenstockError]
    ) -> None:
        """Go over to what is ready, in one step."""
        name = entry.name
        # While anything fails labels stay where they are: what answered before still does.
        if not failed or not self.serves(name):
            self._place(name, entry.config)
        for served in ready:
            self._put(served)
        for number, error in failed.items():
            self._failed(name, number, error)
        wanted = {version.number for version in entry.versions} | failed.keys()
        for number in [number for model, number in self._served if model == name]:
            if failed:
                wanted.add(number)
            elif number in wanted:
                live = self._served[name, number].live
                live.config = with_model_settings(live.config, entry.config)
                self._table.set_reason(name, number, "")
            else:
                self._leave(self._served.pop((name, number)))
                log.info("model '%s' version %d is no longer served", name, number)
        self._table.keep_only(name, wanted)

    def _put(self, served: _Served) -> None:
        """Let a version answer from now on; what it replaces is no longer asked."""
        source = served.prepared.source
        key = source.model_name, source.version
        before = self._served.get(key)
        self._served[key] = served
        self._table.set_ready(*key, served.endpoint)
        log.info("model '%s' version %d is ready (%s)", *key, served.live.platform)
        if before is not None:
            self._leave(before)

    def _leave(self, served: _Served) -> None:
        self._retiring[served] = self._loop.create_task(self._retire(served))

    async def _retire(self, served: _Served) -> None:
        """Close what takes no more requests, once it has answered those that it has."""
        self._retiring.setdefault(served, asyncio.current_task())  # type: ignore[arg-type]
        give_up_s = self._loop.time() + self._drain_timeout_s
        batcher, released = served.live.batcher, served.prepared.released
        # Polled, because an event would have to be set on the path of every request.
        while not batcher.idle and self._loop.time() < give_up_s:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)
        served.live.close()
        del self._retiring[served]
        while not released.is_set() and self._loop.time() < give_up_s:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)
        self._drop(served.files)

    def _drop(self, files: tempfile.TemporaryDirectory[str] | None) -> None:
        """Remove the files of a load request, once nothing is made of them."""
        used = {served.files for served in (*self._served.values(), *self._retiring)}
        if files is not None and files not in used:
            files.cleanup()

    def _failed(self, name: str, version: int, error: Exception) -> None:
        self.failures += 1
        where = f"model '{name}' version {version}" if version else f"model '{name}'"
        if (name, version) in self._served:
            log.error("%s goes on as it was, its change failed: %s", where, error)
            self._table.set_reason(name, version, f"goes on as it was, its change failed: {error}")
            return
        log.error("%s is not served: %s", where, error)
        self._table.set_unavailable(name, version, str(error))

    def _say_warnings(self, entry: ModelEntry) -> None:
        for warning in entry.warnings:
            log.warning("%s", warning)
