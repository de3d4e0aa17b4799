"""What all connections of one server share: settings, services, and what they hold together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from serve.clock import NS_PER_S, Clock
from serve.config import HttpSettings
from serve.errors import Code, Overloaded
from serve.protocol.status import StatusTable
from serve.transport.http.request_head import HeadMemory
from serve.transport.http.routes import RouteTable

__all__ = ["LARGE_BODY_BYTES", "Context", "Peer"]

LARGE_BODY_BYTES = 64 * 1024
"""Above it a body is read into a buffer of its own, and (de)compressed in a worker thread."""


class Peer(Protocol):
    """What the server does to a connection from outside."""

    def sweep(self, now_ns: int) -> None:
        """Enforce the time-outs."""

    def drain(self) -> None:
        """Close soon if nothing is under way, else once what is has been answered."""

    def abort(self) -> None:
        """Close at once and withdraw what is under way."""


class Context:
    """Shared by all connections of one server, on one event loop."""

    __slots__ = (
        "body_limit",
        "body_timeout_ns",
        "call_soon",
        "clock",
        "connections",
        "count_error",
        "draining",
        "empty",
        "header_timeout_ns",
        "heads",
        "idle_timeout_ns",
        "inflight_bytes",
        "loop",
        "max_body_bytes",
        "max_connections",
        "max_header_bytes",
        "max_inflight_bytes",
        "pool",
        "routes",
        "status",
        "write_timeout_ns",
    )

    def __init__(
        self,
        *,
        routes: RouteTable,
        settings: HttpSettings,
        clock: Clock,
        status: StatusTable,
        count_error: Callable[[Code, str], None],
        loop: asyncio.AbstractEventLoop,
        pool: Executor,
        body_limit: str = "--max-body-bytes",
    ) -> None:
        """``body_limit``: where the limit on bodies comes from, for people."""
        # Services
        self.routes = routes
        self.clock = clock
        self.status = status
        self.count_error = count_error
        self.loop = loop
        self.call_soon: Callable[[Callable[[], None]], object] = loop.call_soon
        self.pool = pool
        # Limits
        self.body_limit = body_limit
        self.max_body_bytes = settings.max_body_bytes
        self.max_header_bytes = settings.max_header_bytes
        self.max_connections = settings.max_connections
        self.max_inflight_bytes = settings.max_inflight_bytes
        self.header_timeout_ns = int(settings.header_timeout_s * NS_PER_S)
        self.body_timeout_ns = int(settings.body_timeout_s * NS_PER_S)
        self.idle_timeout_ns = int(settings.idle_timeout_s * NS_PER_S)
        self.write_timeout_ns = int(settings.write_timeout_s * NS_PER_S)
        # State
        self.connections: set[Peer] = set()
        self.empty = asyncio.Event()  # no connection is open
        self.empty.set()
        self.inflight_bytes = 0
        self.draining = False
        self.heads = HeadMemory()

    def add(self, connection: Peer) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        self.empty.clear()

    def remove(self, connection: Peer) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()

    def too_many_bytes(self) -> Overloaded:
        """The refusal of a body that does not fit beside those already held."""
        return Overloaded(
            f"request bodies under way already fill {self.max_inflight_bytes} bytes"
            " (--max-inflight-bytes); try again",
            reason="inflight_bytes",
            retry_after_s=1.0,
        )
