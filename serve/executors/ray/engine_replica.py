"""A replica of a model version: it loads it as in one process, and runs batches off a socket.

Runs in a worker process of Ray. Serve looks after it through the methods below, and no batch
goes through Serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serve.backends.base import BackendSource
from serve.clock import NS_PER_S, monotonic_ns
from serve.config import ServerSettings
from serve.errors import PenstockError
from serve.executors.loader import prepare
from serve.executors.ray.failure import ReplicaNotStartedError
from serve.executors.remote import local_socket
from serve.executors.remote.admin_port import AdminPort
from serve.executors.remote.engine import Engine
from serve.executors.remote.engine_options import EngineOptions
from serve.executors.remote.metrics import engine_page
from serve.monitoring.logs import set_up_logs

__all__ = ["EngineReplica", "EngineSpec"]

log = logging.getLogger("penstock.engine")

HEALTH_S = 5.0


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What a replica serves, and where it may listen.

    ``folder`` is for Unix sockets, the same on every node, inside one that is the server's own;
    ``secret``: of gateways on other nodes, b"" where there are none.
    """

    source: BackendSource
    settings: ServerSettings
    folder: Path
    secret: bytes = field(repr=False)


class EngineReplica:
    """What Serve makes of an ``EngineSpec`` in each worker process of an application."""

    def __init__(self, spec: EngineSpec) -> None:
        import ray  # in a worker of Ray it is there
        from ray import serve

        set_up_logs(spec.settings.log_level, spec.settings.log_format)
        self._drain_timeout_s = spec.settings.drain_timeout_s
        self._name = serve.get_replica_context().replica_id.unique_id
        self._node = ray.get_runtime_context().get_node_id()
        self._folder = spec.folder
        self._socket = spec.folder / f"{self._name}.sock"
        host = ray.util.get_node_ip_address() if spec.secret else None
        self._host = host or ""
        options = EngineOptions(socket=self._socket, host=host, secret=spec.secret or None)
        try:
            self._engine = Engine(
                prepare(spec.source, monotonic_ns), options, replica=self._name, clock=monotonic_ns
            )
        except PenstockError as error:
            raise ReplicaNotStartedError(str(error)) from None
        self._engine.start()
        self._admin: AdminPort | None = None
        self._ends = False
        if (admin := spec.settings.admin) is not None:
            page = engine_page(self._engine)
            self._admin = AdminPort(admin.host, 0, page, self._engine.health)
            everywhere = admin.host in ("0.0.0.0", "::")  # noqa: S104 - as the user said
            self._admin_host = ray.util.get_node_ip_address() if everywhere else admin.host
        self._used_ns = 0.0
        self._asked_ns = monotonic_ns()

    def record_replica_metadata(self) -> dict[str, Any]:
        """Where gateways find this replica: Serve hands it to them."""
        return {
            "replica": self._name,
            "node": self._node,
            "socket": str(self._socket),
            "host": self._host,
            "port": self._engine.port,
            "pid": os.getpid(),
            "admin": f"{self._admin_host}:{self._admin.port}" if self._admin is not None else "",
        }

    def check_health(self) -> None:
        """Raises if the engine's thread does not answer, or a batch hangs: Serve replaces it."""
        self._engine.health(HEALTH_S)

    def wake(self) -> None:
        """Called by a gateway that waits for a replica: that one was there to be called is all."""

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Since the last call, for ``scaling``: see its ``Load``, whose fields these are.

        Serve goes on asking while the replica ends: it counts no more then.
        """
        if self._ends:
            return {}
        statistics, now_ns = self._engine.statistics(), monotonic_ns()
        took_ns = max(1, now_ns - self._asked_ns) * statistics.slots
        used_ns = statistics.used_ns - self._used_ns
        self._used_ns, self._asked_ns = statistics.used_ns, now_ns
        batch_s = statistics.busy_ns / max(1, statistics.batches) / NS_PER_S
        return {
            "utilisation": min(1.0, max(0.0, used_ns / took_ns)),
            "gateways_s": self._engine.waiting_ns() / NS_PER_S,
            "queued_s": statistics.queued * batch_s,
            "batch_s": batch_s,
            "slots": float(statistics.slots),
        }

    async def __del__(self) -> None:
        """Answer what was taken, wait for the gateways to hang up, and leave no file."""
        if getattr(self, "_ends", True):  # or it has never begun
            return
        self._ends = True
        engine = self._engine
        if not await asyncio.to_thread(engine.drain, self._drain_timeout_s):
            log.warning("gateways had not hung up after %g s", self._drain_timeout_s)
        if self._admin is not None:
            await asyncio.to_thread(self._admin.close)
        await asyncio.to_thread(engine.close)
        with contextlib.suppress(OSError):
            local_socket.remove_stale(self._folder)
            self._folder.rmdir()  # of the last one
            self._folder.parent.rmdir()
