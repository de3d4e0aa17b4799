"""The server put together, and its life: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from serve.cache import SharedCache
from serve.clock import NS_PER_MS, Clock, monotonic_ns
from serve.config import ServerSettings
from serve.errors import Unavailable
from serve.executors.ray.plan import Plan
from serve.executors.remote.options import RemoteOptions
from serve.gateway.caching import EndpointMaker
from serve.gateway.control import Controller
from serve.gateway.dataplane import Gateway
from serve.gateway.details import Details, make_details
from serve.gateway.endpoint import Endpoint
from serve.gateway.model_control import ModelControl
from serve.gateway.overview import Overview, Replicas, make_overview
from serve.gateway.remote_control import RemoteController, ReplicaFinder
from serve.monitoring.metrics import ServerMetrics, SharedCacheMetrics
from serve.monitoring.prometheus import exposition
from serve.protocol.status import DEFAULT, TRITON
from serve.repository.manifest import Manifest
from serve.repository.table import ModelTable
from serve.transport.admin.server import create_admin_server
from serve.transport.grpc.server import GrpcServer, create_grpc_server
from serve.transport.http.server import HttpServer, create_http_server

__all__ = ["App", "GatewayApp"]

log = logging.getLogger("penstock.app")

DRAIN_POLL_S = 0.02
FORCED_EXIT = 130
YOUNG_OBJECTS = 20_000


class _Listening:
    """The listeners, with the gateway behind them. Everything belongs to the running loop."""

    _controller: Controller | RemoteController

    def __init__(self, settings: ServerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._started_ns = clock()
        metrics = self._metrics = ServerMetrics()
        self._table: ModelTable[Endpoint] = ModelTable()
        epoch_offset_ns = time.time_ns() - clock()
        self._shared_cache = self._open_shared_cache(epoch_offset_ns)
        self._make_endpoint = EndpointMaker(settings.cache_bytes, self._loop, self._shared_cache)
        self.gateway = Gateway(
            self._table,
            metrics,
            clock,
            server_name=settings.name,
            epoch_offset_ns=epoch_offset_ns,
            access_log=settings.access_log,
        )
        status = TRITON if settings.triton_compat else DEFAULT
        self.http: HttpServer | None = None
        self.grpc: GrpcServer | None = None
        self.admin: HttpServer | None = None
        if settings.http:
            self.http = create_http_server(self.gateway, settings.http, clock, status)
        if settings.grpc:
            self.grpc = create_grpc_server(self.gateway, settings.grpc, clock, status)
        if settings.admin:
            page = exposition(metrics, self._states, self._gauges())
            self.admin = create_admin_server(
                self.gateway,
                settings.admin,
                clock,
                page,
                self.overview,
                status,
                details=self.details,
            )

    async def _listen(self, *, share_ports: bool = False) -> None:
        """Answer probes from now on; raises what a listener raises if it cannot bind."""
        for server in (self.admin, self.http, self.grpc):
            if server is not None:
                await server.start(share_port=share_ports)

    def _tried_all(self) -> None:
        """Every model has been tried."""
        # What is loaded by now stays: the collector need not walk over it again and again. Young
        # objects are requests, which free themselves; it is looked for cycles less often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        self.gateway.set_serving()

    async def drain(self) -> None:
        """Not ready at once; answer what was accepted; then stop."""
        self.gateway.set_stopping()
        give_up_s = self._loop.time() + self._settings.drain_timeout_s
        for server in (self.http, self.grpc):
            if server is not None:
                server.begin_drain()
        # Polled, because an event would have to be set on the path of every request.
        while not self._controller.idle() and self._loop.time() < give_up_s:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)
        await self.stop(max(0.0, give_up_s - self._loop.time()))

    async def stop(self, grace_s: float) -> None:
        """Close every listener and model; connections get ``grace_s`` seconds to finish."""
        stops = [server.stop(grace_s) for server in (self.http, self.grpc) if server is not None]
        await asyncio.gather(*stops)
        self._controller.close()
        if self._shared_cache is not None:
            await self._shared_cache.close()
        if self.admin is not None:
            await self.admin.stop(0)

    def _open_shared_cache(self, epoch_offset_ns: int) -> SharedCache | None:
        """The Redis of the settings; nothing is sent before somebody asks."""
        settings = self._settings
        if settings.cache_redis is None:
            return None
        metrics = self._metrics.shared_cache = SharedCacheMetrics()
        return SharedCache(
            settings.cache_redis,
            settings.cache_redis_timeout_s,
            metrics,
            self._clock,
            self._loop,
            epoch_offset_ns,
        )

    def overview(self) -> Overview:
        """How every version is, as the admin port tells it."""
        live = {
            (endpoint.live.name, endpoint.live.version): (
                endpoint.live.platform,
                endpoint.live.executor.slots,
            )
            for endpoint in self._table.handles()
        }
        return make_overview(
            self._settings.name,
            self.gateway.server_ready(),
            self._table.index(),
            self._metrics,
            live,
            self._replicas(),
        )

    def details(self, name: str) -> Details:
        """What each version of a model is, as the admin port tells it; raises NotFound."""
        live = {
            endpoint.live.version: (endpoint.live.platform, endpoint.live.config)
            for endpoint in self._table.handles()
            if endpoint.live.name == name
        }
        index = [row for row in self._table.index() if row["name"] == name]
        try:
            answers = self._table.resolve(name, "").live.version
        except Unavailable:
            answers = ""
        labels = self._table.labels(name)
        return make_details(name, index, labels, live, answers, self._manifests(name))

    def _manifests(self, name: str) -> dict[str, Manifest]:
        """The manifests of the versions of a model, as far as they are known here."""
        return {}

    def _replicas(self) -> dict[tuple[str, str], Replicas] | None:
        """The replicas of each version; None: models run in this process."""
        return None

    def _states(self) -> list[tuple[str, str, str]]:
        return [(*key, str(state)) for key, state in self._table.states().items()]

    def _gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        if (http := self.http) is not None:
            gauges["penstock_http_connections"] = (
                "Open HTTP connections.",
                lambda: http.connections,
            )
            gauges["penstock_http_inflight_bytes"] = (
                "Bytes of request bodies held.",
                lambda: http.inflight_bytes,
            )
        if (grpc := self.grpc) is not None:
            gauges["penstock_grpc_calls"] = ("Inference calls under way.", lambda: grpc.calls)
            gauges["penstock_grpc_inflight_bytes"] = (
                "Bytes of gRPC messages held.",
                lambda: grpc.inflight_bytes,
            )
        return gauges

    def addresses(self) -> str:
        """Where it listens, for people."""
        settings = self._settings
        listeners = (
            ("HTTP", settings.http, self.http),
            ("gRPC", settings.grpc, self.grpc),
            ("admin", settings.admin, self.admin),
        )
        return ", ".join(
            f"{name} on {listener.host}:{server.port}"
            for name, listener, server in listeners
            if listener is not None and server is not None
        )


class App(_Listening):
    """One process's server, with the models in it."""

    def __init__(
        self,
        repository: Path,
        settings: ServerSettings,
        clock: Clock = monotonic_ns,
        *,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        """``renew`` brings the repository's folder up to date, see ``ModelControl``."""
        super().__init__(settings, clock)
        self._controller: Controller = Controller(
            self._table,
            self._metrics,
            clock,
            self._loop,
            load_timeout_s=settings.load_timeout_s,
            drain_timeout_s=settings.drain_timeout_s,
            make_endpoint=self._make_endpoint,
        )
        self._control = ModelControl(
            repository,
            self._controller,
            self._table,
            mode=settings.model_control_mode,
            poll_s=settings.repository_poll_secs,
            renew=renew,
        )
        self.gateway.set_control(self._control)
        self._rereading: asyncio.Task[None] | None = None

    async def start(self) -> bool:
        """Listen, then load every model. False: a model failed, and ``strict`` is set.

        Probes are answered while models load. Raises what a listener raises if it cannot bind,
        and RepositoryError if the repository itself cannot be read.
        """
        repository = await self._control.read()
        if self._settings.model_control_mode == "poll" and not self._settings.tracking_uri:
            for entry in repository.models.values():
                if entry.config.source:
                    log.warning(
                        "model '%s' does not follow %s: nobody says where the registry is; give"
                        " --tracking-uri, or set MLFLOW_TRACKING_URI",
                        entry.name,
                        entry.config.source,
                    )
        await self._listen()
        await self._control.start(repository, self._settings.load_model)
        self._tried_all()
        if self._controller.failures and self._settings.strict:
            log.error("%d models failed, and --strict is set", self._controller.failures)
            return False
        took_ms = (self._clock() - self._started_ns) / NS_PER_MS
        log.info("serving %s after %.0f ms", self.addresses(), took_ms)
        return True

    def _manifests(self, name: str) -> dict[str, Manifest]:
        return self._controller.manifests(name)

    async def drain(self) -> None:
        """See ``_Listening.drain``; models stay as they are from now on."""
        self._control.stop()
        await super().drain()

    async def stop(self, grace_s: float) -> None:
        """See ``_Listening.stop``."""
        self._control.stop()
        await super().stop(grace_s)

    async def run_until_signal(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once."""
        asked = asyncio.Event()

        def on_signal() -> None:
            if asked.is_set():
                log.warning("second signal: ending at once")
                logging.shutdown()
                _exit_now()
            asked.set()

        def on_reread() -> None:
            log.info("SIGHUP: reading the repository again")
            self._rereading = self._loop.create_task(self._control.reread())

        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, on_signal)
        self._loop.add_signal_handler(signal.SIGHUP, on_reread)
        start = asyncio.create_task(self.start())
        told = asyncio.create_task(asked.wait())
        await asyncio.wait((start, told), return_when=asyncio.FIRST_COMPLETED)
        if not start.done():  # told to end while models load
            start.cancel()
            await asyncio.wait((start,))
            await self.drain()
        elif await start:
            await told
            log.info("draining for at most %.0f s", self._settings.drain_timeout_s)
            await self.drain()
        else:
            told.cancel()
            await self.stop(0)
            raise SystemExit(1)


class GatewayApp(_Listening):
    """A server whose models run in replicas elsewhere; a plan says which."""

    def __init__(
        self,
        settings: ServerSettings,
        finder: ReplicaFinder,
        options: RemoteOptions,
        clock: Clock = monotonic_ns,
    ) -> None:
        super().__init__(settings, clock)
        self._controller: RemoteController = RemoteController(
            self._table,
            self._metrics,
            clock,
            self._loop,
            finder=finder,
            options=options,
            drain_timeout_s=settings.drain_timeout_s,
            make_endpoint=self._make_endpoint,
        )
        self._complete = False

    async def start(self) -> None:
        """Listen, beside other gateways of this machine; probes are answered from now on."""
        await self._listen(share_ports=True)
        log.info("gateway on %s", self.addresses())

    def _manifests(self, name: str) -> dict[str, Manifest]:
        return self._controller.manifests(name)

    def _replicas(self) -> dict[tuple[str, str], Replicas]:
        return self._controller.replicas()

    async def apply(self, plan: Plan) -> None:
        """Serve what the plan says from now on; see ``RemoteController.apply``."""
        await self._controller.apply(plan)
        if plan.complete and not self._complete:
            self._complete = True
            self._tried_all()


def _exit_now() -> None:
    """End without a word to anybody: the user asked twice."""
    os._exit(FORCED_EXIT)
