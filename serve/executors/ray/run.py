"""`penstock serve --ray`: a cluster and a fleet on it, until a signal ends it. Imports ray."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from serve.clock import NS_PER_MS, monotonic_ns
from serve.config import ServerSettings
from serve.executors.ray.cluster import connected
from serve.executors.ray.gateway_replica import MakeServer
from serve.repository.scan import scan

__all__ = ["serve_on_ray"]

log = logging.getLogger("penstock.ray")

LOOK_S = 0.25
SETTLED_LOOK_S = 2.0
FORCED_EXIT = 130


def serve_on_ray(
    repository: Path, settings: ServerSettings, make: MakeServer, address: str, gateways: int
) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the repository again. The exit code.

    Raises:
        RepositoryError: the repository itself cannot be read.
        OSError: a port is taken.
        ValueError, ConnectionError: Ray is not installed, or there is no cluster at ``address``.
    """
    started_ns = monotonic_ns()
    found = scan(repository.resolve())
    settings = _with_ports(settings)
    signals = _Signals()
    with connected(address) as cluster:
        signals.install()  # Ray has put its own there
        if signals.stop.is_set():
            return 0
        # Both import ray, which has its settings only now.
        from ray import serve
        from ray.serve.config import ProxyLocation

        from serve.executors.ray.fleet import Fleet

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(
            proxy_location=ProxyLocation.Disabled,
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        fleet = Fleet(cluster, settings, make, monotonic_ns, gateway_count=gateways)
        try:
            if not cluster.own:
                fleet.clear()
            fleet.want(found)
            return _keep(fleet, repository, settings, signals, started_ns)
        finally:
            log.info("draining for at most %.0f s", settings.drain_timeout_s)
            fleet.stop()


def _keep(
    fleet: Any, repository: Path, settings: ServerSettings, signals: _Signals, started_ns: int
) -> int:
    """Look after the fleet until told to stop."""
    serving = False
    while not signals.stop.is_set():
        if signals.again.is_set():
            signals.again.clear()
            log.info("reading %s again", repository)
            fleet.want(scan(repository.resolve()))
        settled = fleet.look()
        if settled and not serving:
            serving = True
            if fleet.failures and settings.strict:
                log.error("%d models failed, and --strict is set", fleet.failures)
                return 1
            took_ms = (monotonic_ns() - started_ns) / NS_PER_MS
            log.info("serving %s after %.0f ms", _addresses(settings), took_ms)
            log.info("replicas: %s", fleet.replicas())
        signals.wait(SETTLED_LOOK_S if settled else LOOK_S)
    return 0


class _Signals:
    """What the process was told: to stop, or to read the repository again."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.again = threading.Event()
        self._news = threading.Event()

    def install(self) -> None:
        """From now on signals are noted; a second one to stop ends the process at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_again)

    def wait(self, timeout_s: float) -> None:
        """Until there is something new, or for ``timeout_s``."""
        self._news.wait(timeout_s)
        self._news.clear()

    def _on_stop(self, *_: object) -> None:
        if self.stop.is_set():
            log.warning("second signal: ending at once")
            logging.shutdown()
            os._exit(FORCED_EXIT)
        self.stop.set()
        self._news.set()

    def _on_again(self, *_: object) -> None:
        self.again.set()
        self._news.set()


def _with_ports(settings: ServerSettings) -> ServerSettings:
    """Settings with a free port for each 0: gateways that take over must have the same.

    Raises:
        OSError: a port is taken; gateways share theirs, and would not notice.
    """
    update = {}
    with ExitStack() as held:
        for name in ("http", "grpc", "admin"):
            listener = getattr(settings, name)
            if listener is not None:
                port = held.enter_context(_bound(listener.host, listener.port, name))
                update[name] = listener.model_copy(update={"port": port.getsockname()[1]})
    return settings.model_copy(update=update)


def _bound(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise OSError(
            error.errno,
            f"{host}:{port}: {error.strerror}; choose another port with --{name}-port"
            " (0: any free one)",
        ) from error
    return bound


def _addresses(settings: ServerSettings) -> str:
    listeners = (("HTTP", settings.http), ("gRPC", settings.grpc), ("admin", settings.admin))
    return ", ".join(f"{name} on {each.host}:{each.port}" for name, each in listeners if each)
