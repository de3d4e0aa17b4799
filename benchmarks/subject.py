"""The server under test: one that a run starts, or one that runs already."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.loadgen.spec import Protocol, Target
from benchmarks.process import Server, free_port
from benchmarks.proctree import ProcessTree

__all__ = ["Given", "Launch", "Served", "Subject", "UnsupportedError", "serve"]

SERVE = (
    *("{penstock}", "serve", "{repository}", "--http-port", "{http_port}"),
    *("--grpc-port", "{grpc_port}", "--admin-port", "{admin_port}"),
)


class UnsupportedError(RuntimeError):
    """A scenario cannot be run on this server; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server."""

    repository: Path
    command: Sequence[str] = SERVE
    """With ``{repository}``, ``{http_port}``, ``{grpc_port}`` and ``{admin_port}`` in it."""
    penstock: str = "penstock"
    """What ``{penstock}`` stands for: the command of this or another environment."""
    flags: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    """The whole environment; ours if not given."""
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """Where a running server listens: ``http://host:port``, and ``host:port`` for gRPC."""

    http: str
    grpc: str = ""
    admin: str = ""
    pid: int | None = None
    """Its process, if it is on this machine, for CPU and memory."""


Subject = Launch | Given


@dataclass(frozen=True, slots=True)
class Served:
    """A server that is ready."""

    host: str
    http_port: int
    grpc_host: str
    grpc_port: int
    admin_host: str
    admin_port: int
    tree: ProcessTree | None
    """Its processes; None for one on another machine."""
    process: Server | None = field(default=None, compare=False)
    """None for one that was not started here."""

    def target(self, protocol: Protocol) -> Target:
        """Where requests of a protocol go.

        Raises:
            UnsupportedError: it has no such port.
        """
        host, port = (
            (self.host, self.http_port) if protocol == "http" else (self.grpc_host, self.grpc_port)
        )
        if not port:
            raise UnsupportedError(f"there is no address for {protocol} on this server")
        return Target(host=host, port=port, protocol=protocol)


@contextlib.contextmanager
def serve(subject: Subject, log: Path) -> Iterator[Served]:
    """The server, ready; one that was started here is stopped at the end.

    Raises:
        StartError: it does not become ready.
    """
    if isinstance(subject, Given):
        yield given(subject)
        return
    server = start(subject, log)
    try:
        server.wait_ready()
        yield served(server)
    finally:
        server.stop()


def start(subject: Launch, log: Path) -> Server:
    """Start the process; it is not ready yet."""
    http_port, grpc_port, admin_port = free_port(), free_port(), free_port()
    places = {
        "{penstock}": subject.penstock,
        "{repository}": str(subject.repository),
        "{http_port}": str(http_port),
        "{grpc_port}": str(grpc_port),
        "{admin_port}": str(admin_port),
    }
    command = []
    for word in (*subject.command, *subject.flags):
        for place, value in places.items():
            word = word.replace(place, value)
        command.append(word)
    return Server(
        *(log.stem, command, http_port, log, admin_port, grpc_port),
        env=subject.env,
        cwd=subject.cwd,
    )


def served(server: Server) -> Served:
    """A process of this machine as a server that is ready."""
    return Served(
        host=server.host,
        http_port=server.port,
        grpc_host=server.host,
        grpc_port=server.grpc_port,
        admin_host=server.host,
        admin_port=server.admin_port,
        tree=server.tree,
        process=server,
    )


def given(subject: Given) -> Served:
    """A running server by its addresses.

    Raises:
        ValueError: an address has no port.
    """
    (host, port), (grpc_host, grpc_port), (admin_host, admin_port) = (
        _address(url) for url in (subject.http, subject.grpc, subject.admin)
    )
    return Served(
        host=host,
        http_port=port,
        grpc_host=grpc_host,
        grpc_port=grpc_port,
        admin_host=admin_host,
        admin_port=admin_port,
        tree=None if subject.pid is None else ProcessTree(subject.pid),
    )


def _address(url: str) -> tuple[str, int]:
    """Host and port; an empty one is no address: port 0."""
    if not url:
        return "", 0
    parts = urllib.parse.urlsplit(url if "//" in url else f"//{url}")
    if parts.scheme not in ("", "http", "grpc") or parts.port is None or not parts.hostname:
        raise ValueError(f"{url} is no address: write http://host:port, or host:port")
    return parts.hostname, parts.port
