"""A gateway as a replica of Serve: the whole server but for the models. Runs in a worker of Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve.config import ServerSettings
from serve.executors.ray.authority_link import AuthorityLink
from serve.executors.ray.plan import Plan, from_json
from serve.executors.remote.options import RemoteOptions
from serve.monitoring.logs import set_up_logs

__all__ = ["GatewayReplica", "GatewaySpec", "RemoteServer"]


class RemoteServer(Protocol):
    """What a gateway runs; ``serve.app.GatewayApp`` is one."""

    async def start(self) -> None:
        """Listen."""

    async def apply(self, plan: Plan) -> None:
        """Serve what the plan says."""

    async def drain(self) -> None:
        """Answer what was accepted, and stop."""


MakeServer = Callable[[ServerSettings, Any, RemoteOptions, AuthorityLink], RemoteServer]


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """``make`` makes the server of (settings, finder of replicas, options, link to the authority
    over traffic rules)."""

    make: MakeServer
    settings: ServerSettings
    secret: bytes = field(repr=False)


class GatewayReplica:
    """What Serve makes of a ``GatewaySpec`` in each worker process of the gateways."""

    async def __init__(self, spec: GatewaySpec) -> None:  # type: ignore[misc]
        from ray import serve  # in a worker of Ray it is there

        from serve.executors.ray.authority import RayCalls
        from serve.executors.ray.router import Finder

        set_up_logs(spec.settings.log_level, spec.settings.log_format)
        context = serve.get_replica_context()
        options = RemoteOptions(gateway=context.replica_id.unique_id, secret=spec.secret or None)
        # Metrics of gateways on one node must not share a port.
        settings = _on_own_admin_port(spec.settings, context.rank.local_rank)
        link = AuthorityLink(RayCalls(settings.name), options.gateway)
        self._server: RemoteServer | None = spec.make(settings, Finder(), options, link)
        self._listens = False

    async def reconfigure(self, data: dict[str, Any]) -> None:
        """Called by Serve with the first plan, and with every other; waits until that is done.

        A gateway that joins others is given requests as soon as it listens, because it shares
        their ports: it does so when it can answer them.
        """
        if self._server is None:
            return
        plan = from_json(data)
        if not plan.complete:
            await self._listen()
        await self._server.apply(plan)
        await self._listen()

    async def _listen(self) -> None:
        if self._server is not None and not self._listens:
            self._listens = True
            await self._server.start()

    async def __del__(self) -> None:
        """Called by Serve to end this gateway."""
        server, self._server = getattr(self, "_server", None), None
        if server is not None:
            await server.drain()


def _on_own_admin_port(settings: ServerSettings, rank: int) -> ServerSettings:
    admin = settings.admin
    if admin is None or not admin.port:
        return settings
    admin = admin.model_copy(update={"port": admin.port + rank})
    return settings.model_copy(update={"admin": admin})
