"""Where an engine listens, and how much it takes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from serve.executors.remote import auth
from serve.executors.remote.wire import Limits

__all__ = ["EngineOptions"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of an engine; ValueError if it has no address, or TCP without a secret.

    ``socket``: path of a Unix socket. ``host`` and ``port`` (0: any free one) of TCP, which needs
    a ``secret`` of at least 16 bytes; ``tls`` is a server context. ``queue``: batches that each
    gateway may have here beyond those that run; ``max_queued``: beyond it batches are declined.
    ``max_connections``: of gateways; as many strangers may be at the door, the latest ones.
    A batch hangs if it runs for twenty times what it should take, and for ``stall_s`` at least.
    Payloads of ``shared_from_bytes`` and more go through ``shared_bytes`` of memory that this
    process shares with each gateway on its node; 0: none.
    """

    socket: Path | None = None
    host: str | None = None
    port: int = 0
    secret: bytes | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    queue: int = 2
    max_queued: int = 64
    max_connections: int = 64
    handshake_timeout_s: float = 5.0
    stall_s: float = 10.0
    shared_bytes: int = 256 << 20
    shared_from_bytes: int = 256 << 10
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.socket is None and self.host is None:
            raise ValueError("an engine needs a socket, a host, or both to listen on")
        if self.host is not None and len(self.secret or b"") < auth.MIN_SECRET_BYTES:
            raise ValueError(
                f"an engine that listens on TCP needs a secret of {auth.MIN_SECRET_BYTES} bytes"
                " at least, the same as its gateways'"
            )
