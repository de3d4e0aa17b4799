"""Looking after a fleet until told to stop. Imports ray."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serve.clock import NS_PER_MS, Clock
from serve.config import ServerSettings
from serve.errors import PenstockError
from serve.executors.ray.fleet import Fleet
from serve.executors.ray.needs import Needs
from serve.executors.ray.orders import Orders
from serve.repository.entry import Repository
from serve.traffic.state import TrafficState

__all__ = ["Keeping"]

log = logging.getLogger("penstock.ray")

LOOK_S = 0.25
SETTLED_LOOK_S = 2.0
AGAIN_S = 1.0
"""Pause after Serve did not answer."""
NO_ANSWER = (RayError, RayServeException, ConnectionError, TimeoutError)
"""What Serve's controller gives while it is being restarted, among others."""


class Keeping:
    """Keeps ``fleet`` as the repository and the traffic rules ask for, whatever happens to Serve
    in the meantime."""

    def __init__(
        self,
        fleet: Fleet,
        repository: Path,
        needs: Needs,
        rules: Callable[[], TrafficState],
        settings: ServerSettings,
        orders: Orders,
        clock: Clock,
        started_ns: int,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        """``needs`` has read ``repository``; ``rules`` gives the traffic rules, or raises.

        ``renew`` brings the repository's folder up to date before it is read again, or raises
        RepositoryError: then all stays as it is.
        """
        self._fleet = fleet
        self._repository = repository
        self._needs = needs
        self._rules = rules
        self._settings = settings
        self._orders = orders
        self._clock = clock
        self._started_ns = started_ns
        self._renew = renew
        self._found = Repository({}, {})
        self._untold: frozenset[str] | None = frozenset()
        """Models of which the fleet was not told yet, though they were read; None: all."""
        self._rules_known = False
        self._rules_silent = False
        self.serving = threading.Event()
        """Every version has been tried, and the gateways answer."""

    def run(self, found: Repository) -> int:
        """Until told to stop; 0, or 1 if a model failed and that was forbidden (``--strict``).

        Raises:
            PenstockError: the file of the traffic rules cannot be used.
        """
        orders = self._orders
        self._found, self._untold = found, None
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
                self._renew()
                self._found = self._needs.scan(self._repository.resolve())
                self._untold = None
            except (PenstockError, OSError) as error:
                log.error("%s: all stays as it is", error)
        self._ask_rules()
        found, changed = self._needs.changed(self._found)
        if changed:
            self._found = found
            self._untold = None if self._untold is None else self._untold | changed
        if self._untold is None or self._untold:
            self._fleet.want(self._found, self._untold)
            self._untold = frozenset()  # not before Serve was told of it
        return self._fleet.look()

    def _ask_rules(self) -> None:
        """Follow the rules; the last ones, while nobody knows them.

        Without any, nothing is served: what another server has left may be needed.
        """
        try:
            self._needs.follow(self._rules())
        except (*NO_ANSWER, PenstockError) as error:
            if not self._rules_known:
                raise
            if not self._rules_silent:
                log.warning("no answer as to traffic rules, the last ones count: %s", error)
            self._rules_silent = True
        else:
            self._rules_known, self._rules_silent = True, False

    def _say_serving(self) -> None:
        took_ms = (self._clock() - self._started_ns) / NS_PER_MS
        log.info("serving %s after %.0f ms", _addresses(self._settings), took_ms)
        log.info("replicas: %s", self._fleet.replicas())


def _addresses(settings: ServerSettings) -> str:
    listeners = (("HTTP", settings.http), ("gRPC", settings.grpc), ("admin", settings.admin))
    return ", ".join(f"{name} on {each.host}:{each.port}" for name, each in listeners if each)
