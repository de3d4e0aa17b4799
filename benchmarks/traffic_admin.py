"""How the traffic of a model is divided among its versions: told and asked on the admin port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from benchmarks.asking import ask_json
from benchmarks.inputs.signature import extensions
from benchmarks.subject import Served, UnsupportedError

__all__ = ["Rollout", "TrafficAdmin"]

EXTENSION = "traffic"


class Rollout(msgspec.Struct, frozen=True):
    """Where a rollout is; times in seconds since the epoch, 0: not yet."""

    version: int
    status: str
    step: int
    began_s: float
    step_began_s: float
    ended_s: float
    reason: str = ""


class TrafficAdmin:
    """The traffic of one model. Every method blocks, and raises UnsupportedError if the server does
    not do as it is told."""

    def __init__(self, server: Served, model: str) -> None:
        """Raises UnsupportedError if the server does not divide traffic, or is told nowhere."""
        if EXTENSION not in extensions(server):
            raise UnsupportedError("it does not divide traffic among versions of a model")
        if not server.admin_port:
            raise UnsupportedError("its admin port is not known, where traffic is divided")
        self._server = server
        self._path = f"/models/{quote(model, safe='')}"

    def split(self, weights: Mapping[str, float]) -> None:
        """Divide requests by these weights, by version or label."""
        self._tell("PUT", "/split", {"split": dict(weights)})

    def begin(self, version: int, **how: Any) -> None:
        """Begin a rollout; ``how``: ``steps`` in percent, ``hold_s``, ``guards``."""
        self._tell("POST", "/rollout", {"to": version, **how})

    def rollout(self) -> Rollout | None:
        """The last rollout, whether it is over or not; None: there was none."""
        told = self._tell("GET", "/traffic").get("rollout")
        return None if told is None else msgspec.convert(told, Rollout)

    def _tell(self, method: str, path: str, body: Any = None) -> Any:
        server = self._server
        return ask_json(
            *(server.admin_host, server.admin_port, method, f"{self._path}{path}"),
            "its admin port",
            body,
        )
