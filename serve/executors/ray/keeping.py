"""Looking after a fleet until told to stop. Imports ray."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serve.clock import NS_PER_MS, Clock
from serve.config import ServerSettings
from serve.errors import PenstockError
from serve.executors.ray.fleet import Fleet
from serve.executors.ray.orders import Orders
from serve.repository.entry import Repository
from serve.repository.scan import scan

__all__ = ["Keeping"]

log = logging.getLogger("penstock.ray")

LOOK_S = 0.25
SETTLED_LOOK_S = 2.0
AGAIN_S = 1.0
"""Pause after Serve did not answer."""
NO_ANSWER = (RayError, RayServeException, ConnectionError, TimeoutError)
"""What Serve's controller gives while it is being restarted, among others."""


class Keeping:
    """Keeps ``fleet`` as the repository asks for, whatever happens to Serve in the meantime."""

    def __init__(
        self,
        fleet: Fleet,
        repository: Path,
        settings: ServerSettings,
        orders: Orders,
        clock: Clock,
        started_ns: int,
    ) -> None:
        self._fleet = fleet
        self._repository = repository
        self._settings = settings
        self._orders = orders
        self._clock = clock
        self._started_ns = started_ns
        self._wanted: Repository | None = None
        self.serving = threading.Event()
        """Every version has been tried, and the gateways answer."""

    def run(self, found: Repository) -> int:
        """Until told to stop; 0, or 1 if a model failed and that was forbidden (``--strict``)."""
        orders = self._orders
        self._wanted = found
        silent = False
        while not orders.stop.is_set():
            try:
                settled = self._look()
                silent = False
            except NO_ANSWER as error:
                if not silent:
                    log.warning("Serve does not answer, and is asked again: %s", error)
                silent = True
                orders.wait(AGAIN_S)
                continue
            if settled and not self.serving.is_set():
                if self._fleet.failures and self._settings.strict:
                    log.error("%d models failed, and --strict is set", self._fleet.failures)
                    return 1
                self._say_serving()
                self.serving.set()
            orders.wait(SETTLED_LOOK_S if settled else LOOK_S)
        return 0

    def _look(self) -> bool:
        if self._orders.again.is_set():
            self._orders.again.clear()
            log.info("reading %s again", self._repository)
            try:
                self._wanted = scan(self._repository.resolve())
            except (PenstockError, OSError) as error:
                log.error("%s: all stays as it is", error)
        if self._wanted is not None:
            self._fleet.want(self._wanted)
            self._wanted = None  # not before Serve was told of it
        return self._fleet.look()

    def _say_serving(self) -> None:
        took_ms = (self._clock() - self._started_ns) / NS_PER_MS
        log.info("serving %s after %.0f ms", _addresses(self._settings), took_ms)
        log.info("replicas: %s", self._fleet.replicas())


def _addresses(settings: ServerSettings) -> str:
    listeners = (("HTTP", settings.http), ("gRPC", settings.grpc), ("admin", settings.admin))
    return ", ".join(f"{name} on {each.host}:{each.port}" for name, each in listeners if each)
