"""The HTTP listener: starts, sweeps time-outs, drains and stops."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serve.clock import Clock
from serve.config import HttpSettings
from serve.errors import Code, PenstockError
from serve.gateway.interface import DataPlane
from serve.protocol.status import StatusTable
from serve.transport.http.connection import Connection
from serve.transport.http.context import Context
from serve.transport.http.routes import RouteTable
from serve.transport.http.tls import tls_context
from serve.transport.http.v2 import v2_routes

__all__ = ["HttpServer", "create_http_server", "error_counter"]

BACKLOG = 4096
SWEEP_S = 1.0
LAST_CALL_S = 0.05
WORKERS = 2  # threads that compress and decompress large bodies


class HttpServer:
    """One listening socket and its connections. All methods belong to the event loop's thread."""

    def __init__(
        self,
        routes: RouteTable,
        settings: HttpSettings,
        clock: Clock,
        *,
        status: StatusTable,
        count_error: Callable[[Code, str], None],
        flag: str = "--http-port",
        body_limit: str = "--max-body-bytes",
    ) -> None:
        self._routes = routes
        self._settings = settings
        self._clock = clock
        self._status = status
        self._count_error = count_error
        self._flag = flag
        self._body_limit = body_limit
        self._context: Context | None = None
        self._listener: asyncio.Server | None = None
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="penstock-http")
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._last_call: asyncio.TimerHandle | None = None
        self._deaf = asyncio.Event()  # no longer listening
        self._port = settings.port

    async def start(self, *, share_port: bool = False) -> None:
        """Listen; with ``share_port`` beside other processes that do, whose port must agree.

        Raises:
            OSError: the address cannot be bound or a TLS file is wrong; names the flag.
        """
        settings = self._settings
        loop = asyncio.get_running_loop()
        tls: ssl.SSLContext | None = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = tls_context(settings.tls_cert, settings.tls_key)
        context = Context(
            routes=self._routes,
            settings=settings,
            clock=self._clock,
            status=self._status,
            count_error=self._count_error,
            loop=loop,
            pool=self._pool,
            body_limit=self._body_limit,
        )
        try:
            self._listener = await loop.create_server(
                lambda: Connection(context),
                settings.host,
                settings.port,
                backlog=BACKLOG,
                reuse_address=True,
                reuse_port=share_port or None,
                ssl=tls,
                ssl_handshake_timeout=settings.header_timeout_s if tls else None,
            )
        except OSError as error:
            raise self._explain(error) from error
        self._context = context
        self._port = self._listener.sockets[0].getsockname()[1]
        self._schedule_sweep()

    def _explain(self, error: OSError) -> OSError:
        where = f"{self._settings.host}:{self._settings.port}"
        if error.errno == errno.EADDRINUSE:
            problem = f"port already in use; choose another with {self._flag} (0: any free one)"
        elif error.errno == errno.EACCES:
            problem = f"not allowed to listen there; choose a port above 1023 with {self._flag}"
        else:
            problem = f"cannot listen there ({error.strerror or error}); see {self._flag}"
        return OSError(error.errno or 0, f"{where}: {problem}")

    @property
    def port(self) -> int:
        """The port listened on, which differs from the setting if that is 0."""
        return self._port

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._context.connections) if self._context else 0

    @property
    def inflight_bytes(self) -> int:
        """Bytes of request bodies held."""
        return self._context.inflight_bytes if self._context else 0

    def sweep(self) -> None:
        """Enforce all time-outs; runs by itself once a second."""
        if self._context is not None:
            now_ns = self._clock()
            for connection in tuple(self._context.connections):
                connection.sweep(now_ns)

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep_timer = loop.call_later(SWEEP_S, self._sweep_and_schedule)

    def _sweep_and_schedule(self) -> None:
        # Scheduled first: a fault in one sweep must not be the last of all of them.
        self._schedule_sweep()
        self.sweep()

    def begin_drain(self) -> None:
        """Take no new connection, close idle ones, and the others after their next answer.

        Connections that are on their way already are still taken for ``LAST_CALL_S``: a client
        that connects just then would otherwise be reset.
        """
        context = self._context
        if context is None or context.draining:
            return
        context.draining = True
        for connection in tuple(context.connections):
            connection.drain()
        self._last_call = context.loop.call_later(LAST_CALL_S, self._stop_listening)

    def _stop_listening(self) -> None:
        if self._last_call is not None:
            self._last_call.cancel()
        if self._listener is not None:
            self._listener.close()
        self._deaf.set()

    async def drained(self) -> None:
        """Wait, after ``begin_drain``, until no connection is open and none can come."""
        if self._context is not None:
            await self._deaf.wait()
            await self._context.empty.wait()

    async def stop(self, timeout_s: float) -> None:
        """Drain for at most ``timeout_s``, then withdraw what is left."""
        self.begin_drain()
        try:
            await asyncio.wait_for(self.drained(), timeout_s)
        except TimeoutError:
            self._stop_listening()
            if self._context is not None:
                for connection in tuple(self._context.connections):
                    connection.abort()
            await self.drained()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


def create_http_server(
    plane: DataPlane, settings: HttpSettings, clock: Clock, status: StatusTable
) -> HttpServer:
    """The main port: the protocol over ``plane``."""
    return HttpServer(
        v2_routes(plane, status),
        settings,
        clock,
        status=status,
        count_error=error_counter(plane),
    )


def error_counter(plane: DataPlane) -> Callable[[Code, str], None]:
    """Counts error answers, under the model's name only if there is such a model.

    Clients choose the names in paths, and must not be able to create metric labels.
    """

    def count(code: Code, model_name: str) -> None:
        if model_name:
            try:
                plane.model_ready(model_name, "")
            except PenstockError:
                model_name = ""
        plane.count_error("http", code, model_name)

    return count
