"""`penstock serve --ray`: a cluster and a fleet on it, until a signal ends it. Imports ray."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from serve.clock import monotonic_ns
from serve.config import ServerSettings
from serve.executors.ray.cluster import LOCAL, connected
from serve.executors.ray.gateway_replica import MakeServer
from serve.repository.scan import scan

if TYPE_CHECKING:
    from serve.executors.ray.keeping import Orders

__all__ = ["serve_on_ray"]

log = logging.getLogger("penstock.ray")

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
    settings = _with_ports(settings, check=address == LOCAL)
    with connected(address) as cluster:
        # These import ray, which has its settings only now.
        from ray import serve
        from ray.serve.config import ProxyLocation

        from serve.executors.ray.fleet import Fleet
        from serve.executors.ray.keeping import Keeping, Orders

        orders = Orders()
        _install(orders)  # Ray has put its own there
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(
            proxy_location=ProxyLocation.Disabled,
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        fleet = Fleet(cluster, settings, make, monotonic_ns, gateway_count=gateways)
        try:
            if not cluster.own:
                fleet.adopt()
            keeping = Keeping(fleet, repository, settings, orders, monotonic_ns, started_ns)
            return keeping.run(found)
        finally:
            log.info("draining for at most %.0f s", settings.drain_timeout_s)
            fleet.stop()


def _install(orders: Orders) -> None:
    """From now on signals are orders; a second one to stop ends the process at once."""

    def on_stop(*_: object) -> None:
        if orders.stop.is_set():
            log.warning("second signal: ending at once")
            logging.shutdown()
            os._exit(FORCED_EXIT)
        orders.order_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_stop)
    signal.signal(signal.SIGHUP, lambda *_: orders.order_again())


def _with_ports(settings: ServerSettings, *, check: bool) -> ServerSettings:
    """Settings with a free port for each 0: gateways that take over must have the same.

    With ``check`` they are here, and the other ports must be free as well: gateways share
    theirs, and would not notice. On other machines it is theirs to find out.

    Raises:
        OSError: a port is taken.
    """
    update = {}
    with ExitStack() as held:
        for name in ("http", "grpc", "admin"):
            listener = getattr(settings, name)
            if listener is not None and (check or not listener.port):
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
