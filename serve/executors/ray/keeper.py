"""The fleet's keeper as a replica of Serve, where a config file and no command starts the server.

Serve makes another keeper if one is lost, which takes over what runs; requests do not notice.
Imports ray.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from ray import serve
from ray.serve import Application

from serve.clock import monotonic_ns
from serve.config import ServerSettings
from serve.config.base import Settings
from serve.errors import PenstockError
from serve.executors.ray.authority import HEAD, KeptAuthority
from serve.executors.ray.cluster import joined
from serve.executors.ray.failure import ReplicaNotStartedError
from serve.executors.ray.fleet import Fleet
from serve.executors.ray.gateway_replica import MakeServer
from serve.executors.ray.gateway_tier import GRACE_S
from serve.executors.ray.keeping import Keeping
from serve.executors.ray.needs import Needs
from serve.executors.ray.orders import Orders
from serve.executors.ray.traffic_authority import AuthoritySpec
from serve.monitoring.logs import set_up_logs

__all__ = ["KeeperArguments", "keeper"]

log = logging.getLogger("penstock.ray")

A_LITTLE = 0.001
LOOK_S = 0.1
END_S = 10.0


class KeeperArguments(Settings):
    """The ``args`` of the application: what flags say to ``penstock serve --ray``."""

    repository: Path = Field(description="Model repository, at the same path on every node.")
    gateways: int = Field(0, ge=0, description="Gateways; 0: one on every node for gateways.")
    settings: ServerSettings = Field(
        default_factory=ServerSettings, description="Of the gateways: the fields of the flags."
    )

    @model_validator(mode="after")
    def _check_ports(self) -> KeeperArguments:
        for name in ("http", "grpc", "admin"):
            listener = getattr(self.settings, name)
            if listener is not None and not listener.port:
                raise ValueError(f"settings.{name}.port: gateways share it, so name one; is 0")
        return self


class Keeper:
    """Starts when everything is served that can be, so that its application runs only then."""

    def __init__(self, arguments: KeeperArguments, make: MakeServer) -> None:
        settings = arguments.settings
        set_up_logs(settings.log_level, settings.log_format)
        started_ns = monotonic_ns()
        needs = Needs()
        found = needs.scan(arguments.repository)
        self._authority = KeptAuthority(
            settings.name, AuthoritySpec.of(settings, arguments.repository)
        )
        self._authority.start()
        self._orders = Orders()
        self._fleet = Fleet(
            joined(), settings, make, monotonic_ns, gateway_count=arguments.gateways
        )
        self._fleet.adopt()
        keeping = Keeping(
            self._fleet,
            arguments.repository,
            needs,
            self._authority.state,
            settings,
            self._orders,
            monotonic_ns,
            started_ns,
        )
        problem = "a model is not served, and `strict` is set"

        def run() -> None:
            nonlocal problem
            try:
                keeping.run(found)
            except PenstockError as error:
                problem = str(error)

        self._application = serve.get_replica_context().app_name
        self._thread = threading.Thread(target=run, name="penstock-keeper", daemon=True)
        self._thread.start()
        while not keeping.serving.wait(LOOK_S):
            if not self._thread.is_alive():
                raise ReplicaNotStartedError(problem)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Called by Serve when ``user_config`` is another: read the repository again."""
        log.info("told to read the repository again: %s", user_config)
        self._orders.order_again()

    def check_health(self) -> None:
        """Raises if nobody looks after the fleet any more: Serve makes another keeper."""
        if not self._thread.is_alive():
            raise RuntimeError("the keeper's thread has ended")

    def __del__(self) -> None:
        """Leave the fleet to the next keeper, or end it if the application is deleted."""
        if not hasattr(self, "_thread"):
            return
        self._orders.order_stop()
        self._thread.join(END_S)
        own = serve.status().applications.get(self._application)
        if own is None or own.status == "DELETING":
            self._fleet.stop()
            self._authority.stop()


def keeper(arguments: KeeperArguments, make: MakeServer) -> Application:
    """The application of the keeper; ``make`` makes the server of a gateway."""
    drain_s = arguments.settings.drain_timeout_s + GRACE_S
    deployment = serve.deployment(
        name="Keeper",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0, "resources": {HEAD: A_LITTLE}},
        graceful_shutdown_timeout_s=2 * drain_s + END_S,
        graceful_shutdown_wait_loop_s=0.1,
    )(Keeper)
    application: Application = deployment.bind(arguments, make)
    return application
