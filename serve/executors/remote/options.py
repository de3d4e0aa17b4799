"""What a gateway needs to know to reach replicas, and how patient it is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from serve.executors.remote.wire import Limits

__all__ = ["Endpoint", "RemoteOptions", "WantedModel"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a replica listens: ``path`` of a Unix socket if it is on this node, else TCP.

    The path wins if both are given. The rest is for people, scrapers and tests: the ``node`` and
    ``pid`` of the replica, and ``admin``, host:port of its metrics ("" if there are none).
    """

    path: str = ""
    host: str = ""
    port: int = 0
    node: str = field(default="", compare=False)
    pid: int = field(default=0, compare=False)
    admin: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class WantedModel:
    """Which model the replicas must serve. Empty ``digest``: whatever they do."""

    model: str
    version: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Settings of a gateway's side.

    ``gateway`` is its name in the logs of engines. ``secret`` and ``tls`` (a client context, with
    ``tls_name`` as the name in the certificate) are for TCP. A batch is sent at most ``tries``
    times. A replica is given up if it says nothing for ``silent_s`` although it is asked every
    ``ping_s``, if it says itself that a batch hangs, or if a batch is not answered ``stall_s``
    after it was sent and past its deadline. Connecting is tried again after about the first
    figure of ``backoff_s``, then after twice that, up to the second.
    """

    gateway: str = "gateway"
    secret: bytes | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    tls_name: str = ""
    tries: int = 3
    shared_bytes: int = 256 << 20
    shared_from_bytes: int = 256 << 10
    limits: Limits = field(default_factory=Limits)
    handshake_timeout_s: float = 5.0
    ping_s: float = 1.0
    silent_s: float = 5.0
    stall_s: float = 10.0
    backoff_s: tuple[float, float] = (0.05, 2.0)
