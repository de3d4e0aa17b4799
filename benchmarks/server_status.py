"""What a server says of its models and their replicas, on its admin port."""

from __future__ import annotations

import msgspec

from benchmarks.asking import ask_json
from benchmarks.subject import Served, UnsupportedError

__all__ = ["Replica", "Status", "Version", "ask_status", "replicas_of"]

READY = "ready"


class Replica(msgspec.Struct, frozen=True):
    """A process that runs batches of one version."""

    name: str
    state: str
    pid: int = 0


class Replicas(msgspec.Struct, frozen=True):
    """The replicas of a version; ``ready`` of them are sent to."""

    ready: int
    members: tuple[Replica, ...] = ()


class Version(msgspec.Struct, frozen=True):
    """A version of a model; no ``replicas``: it runs in the server's own process."""

    name: str
    version: str
    state: str
    replicas: Replicas | None = None


class Status(msgspec.Struct, frozen=True):
    """``remote``: models run in replicas."""

    remote: bool
    models: tuple[Version, ...]

    def versions(self, model: str) -> tuple[Version, ...]:
        """Those of one model."""
        return tuple(one for one in self.models if one.name == model)


def ask_status(server: Served) -> Status:
    """How everything is now.

    Raises:
        UnsupportedError: the server does not tell.
    """
    if not server.admin_port:
        raise UnsupportedError("its admin port is not known, which tells of replicas")
    told = ask_json(server.admin_host, server.admin_port, "GET", "/status", "its admin port")
    return msgspec.convert(told, Status)


def replicas_of(server: Served, model: str) -> tuple[Replica, ...]:
    """The replicas of a model that are ready, of all its versions.

    Raises:
        UnsupportedError: the server does not tell, or runs the model in its own process.
    """
    status = ask_status(server)
    if not status.remote:
        raise UnsupportedError("it runs models in its own process, and has no replicas")
    return tuple(
        member
        for version in status.versions(model)
        if version.replicas is not None
        for member in version.replicas.members
        if member.state == READY
    )
