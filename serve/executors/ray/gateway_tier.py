"""The gateways as one application of Serve: how many, where, and what they were told. Imports ray.

On a cluster of one's own there is one. On a joined cluster there is one on every node that has
the resource ``penstock_gateway``, or on every node if none has it: a gateway keeps a node in use,
so that an autoscaler cannot take it away, and a cluster that grows and shrinks says which nodes
are for gateways.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray import serve
from ray.serve.api import RunTarget

from serve.executors.ray.gateway_replica import GatewayReplica, GatewaySpec
from serve.executors.ray.plan import Plan, as_json
from serve.executors.ray.router import QUIET, with_version

__all__ = ["GRACE_S", "GatewayTier", "Places", "gateways_of", "places"]

GATEWAY = "Gateway"
NODES = "penstock_gateway"
"""Nodes that have a resource of this name are where gateways go."""
A_LITTLE = 0.001
GRACE_S = 10.0
"""Beyond the time to drain, before Serve ends a replica by force."""


@dataclass(frozen=True, slots=True)
class Places:
    """How many gateways; ``alone``: one on a node; ``named``: on nodes that have ``NODES``."""

    number: int
    alone: bool
    named: bool


def places(wanted: int, own: bool, nodes: Sequence[dict[str, float]]) -> Places:
    """Where gateways are to be, of which the user wants ``wanted``, 0 if that was not said."""
    named = sum(NODES in node for node in nodes)
    if wanted or own:
        return Places(wanted or 1, False, bool(named))
    return Places(max(1, named or len(nodes)), True, bool(named))


def gateways_of(server: str) -> str:
    """The application of a server's gateways."""
    return f"{server}:gateways"


class GatewayTier:
    """Knows what gateways were told last. ``name`` is their application's."""

    def __init__(self, server: str, spec: GatewaySpec) -> None:
        self.name = gateways_of(server)
        self._spec = spec
        self._told: tuple[Plan, Places] | None = None

    def target(self, plan: Plan, where: Places) -> RunTarget | None:
        """What is to be deployed so that gateways do as ``plan`` says; None: they know it."""
        return None if (plan, where) == self._told else self._target(plan, where)

    def told(self, plan: Plan, where: Places) -> None:
        """It has been deployed."""
        self._told = (plan, where)

    def _target(self, plan: Plan, where: Places) -> RunTarget:
        """Deployed again with another plan, gateways are told that, and go on."""
        options: dict[str, Any] = {"num_cpus": 0}
        if where.named:
            options["resources"] = {NODES: A_LITTLE}
        deployment = serve.deployment(
            name=GATEWAY,
            num_replicas=where.number,
            max_replicas_per_node=1 if where.alone else None,
            ray_actor_options=options,
            user_config=as_json(plan),
            health_check_period_s=2.0,
            health_check_timeout_s=10.0,
            graceful_shutdown_wait_loop_s=0.1,
            graceful_shutdown_timeout_s=self._spec.settings.drain_timeout_s + GRACE_S,
        )(GatewayReplica)
        deployment = with_version(deployment, version_of(self._spec))
        return RunTarget(
            deployment.bind(self._spec), name=self.name, route_prefix=None, logging_config=QUIET
        )


def version_of(spec: GatewaySpec) -> str:
    """What gateways of other settings, or of another secret, do not have: those are replaced."""
    digest = hashlib.sha256(spec.settings.model_dump_json().encode())
    digest.update(spec.secret)
    return digest.hexdigest()[:10]
