"""What every server has: its listeners, with the gateway behind them, and how they stop."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Protocol

from serve.cache import SharedCache
from serve.clock import Clock
from serve.config import ServerSettings
from serve.errors import Unavailable
from serve.gateway.caching import EndpointMaker
from serve.gateway.dataplane import Gateway
from serve.gateway.details import Details, make_details
from serve.gateway.endpoint import Endpoint
from serve.gateway.following import Follower
from serve.gateway.operations import Operations
from serve.gateway.overview import Overview, Replicas, make_overview
from serve.monitoring.metrics import ServerMetrics, SharedCacheMetrics
from serve.monitoring.prometheus import exposition
from serve.protocol.status import DEFAULT, TRITON
from serve.repository.manifest import Manifest
from serve.repository.table import ModelTable
from serve.transport.admin.server import create_admin_server
from serve.transport.grpc.server import GrpcServer, create_grpc_server
from serve.transport.http.server import HttpServer, create_http_server

__all__ = ["Listening"]

DRAIN_POLL_S = 0.02
YOUNG_OBJECTS = 20_000


class Controls(Protocol):
    """Who brings the models to life."""

    def idle(self) -> bool:
        """Whether every accepted request has been answered."""

    def close(self) -> None:
        """Close every model."""


class Listening:
    """The listeners, with the gateway behind them. Everything belongs to the running loop."""

    _controller: Controls

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
        self._follower = Follower(self._table, metrics, clock, self._loop, self._reload)
        self.gateway.set_feedback(self._follower.count_outcome)
        metrics.traffic = self._follower.metrics
        self.http: HttpServer | None = None
        self.grpc: GrpcServer | None = None
        self.admin: HttpServer | None = None

    def _open(self, operations: Operations) -> None:
        """Make the listeners; the admin port takes ``operations``."""
        settings, clock = self._settings, self._clock
        status = TRITON if settings.triton_compat else DEFAULT
        if settings.http:
            self.http = create_http_server(self.gateway, settings.http, clock, status)
        if settings.grpc:
            self.grpc = create_grpc_server(self.gateway, settings.grpc, clock, status)
        if settings.admin:
            page = exposition(self._metrics, self._states, self._gauges())
            self.admin = create_admin_server(
                self.gateway,
                settings.admin,
                clock,
                page,
                self.overview,
                status,
                details=self.details,
                operations=operations,
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
            answers = self._table.default(name).live.version
        except Unavailable:
            answers = ""
        labels = self._table.labels(name)
        return make_details(name, index, labels, live, answers, self._manifests(name))

    def _reload(self, name: str) -> None:
        """The rules of a model may need other versions by now."""

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
