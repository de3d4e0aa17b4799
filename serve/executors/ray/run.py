"""`penstock serve --ray`: a cluster and a fleet on it, until a signal ends it. Imports ray."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from serve.clock import monotonic_ns
from serve.config import ServerSettings
from serve.executors.ray.cluster import LOCAL, connected
from serve.executors.ray.gateway_replica import MakeServer
from serve.executors.ray.needs import Needs
from serve.executors.ray.orders import Orders, follow_signals
from serve.executors.ray.traffic_authority import AuthoritySpec

__all__ = ["serve_on_ray"]

log = logging.getLogger("penstock.ray")

LAST_PORT = 65535
TRIES = 20
"""Ports are looked for where any will do, until the next ones are free too."""


def serve_on_ray(
    repository: Path,
    settings: ServerSettings,
    make: MakeServer,
    address: str,
    gateways: int,
    renew: Callable[[], None] = lambda: None,
) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the repository again. The exit code.

    ``renew`` brings the repository's folder up to date before that, see ``Keeping``.

    Raises:
        PenstockError: the repository itself cannot be read, or the file of the traffic rules.
        OSError: a port is taken.
        ValueError, ConnectionError: Ray is not installed, or there is no cluster at ``address``.
    """
    started_ns = monotonic_ns()
    needs = Needs()
    found = needs.scan(repository.resolve())
    settings = _with_ports(_with_paths(settings), gateways, check=address == LOCAL)
    orders = Orders()
    if address == LOCAL:
        # What Ray is about to start would go on if it were interrupted.
        follow_signals(orders, before_exit=lambda: None)
    with connected(address) as cluster:
        # These import ray, which has its settings only now.
        from ray import serve
        from ray.serve.config import ProxyLocation

        from serve.executors.ray.authority import KeptAuthority
        from serve.executors.ray.fleet import Fleet
        from serve.executors.ray.keeping import Keeping
        from serve.executors.ray.router import QUIET

        follow_signals(orders, cluster.abandon)  # Ray has put its own there
        if orders.stop.is_set():
            return 0
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        authority = KeptAuthority(settings.name, AuthoritySpec.of(settings, repository.resolve()))
        authority.start()  # it comes up while Serve does
        serve.start(
            proxy_location=ProxyLocation.Disabled,
            logging_config=QUIET,
        )
        fleet = Fleet(cluster, settings, make, monotonic_ns, gateway_count=gateways)
        try:
            if not cluster.own:
                fleet.adopt()
            keeping = Keeping(
                fleet,
                repository,
                needs,
                authority.state,
                settings,
                orders,
                monotonic_ns,
                started_ns,
                renew,
            )
            return keeping.run(found)
        finally:
            log.info("draining for at most %.0f s", settings.drain_timeout_s)
            fleet.stop()
            authority.stop()


def _with_paths(settings: ServerSettings) -> ServerSettings:
    """Settings with the path of the keys from the root: gateways have another working folder."""
    admin = settings.admin
    if admin is None or admin.keys_file is None:
        return settings
    admin = admin.model_copy(update={"keys_file": admin.keys_file.absolute()})
    return settings.model_copy(update={"admin": admin})


def _with_ports(settings: ServerSettings, gateways: int, *, check: bool) -> ServerSettings:
    """Settings with a free port for each 0: gateways that take over must have the same.

    With ``check`` they are here, and the other ports must be free as well: gateways share
    theirs, and would not notice. On other machines it is theirs to find out. Each gateway has an
    admin port of its own, so those that follow the first are looked at too.

    Raises:
        OSError: a port is taken.
    """
    update = {}
    with ExitStack() as held:
        for name in ("http", "grpc", "admin"):
            listener = getattr(settings, name)
            if listener is not None and (check or not listener.port):
                count = max(1, gateways) if name == "admin" else 1
                port = _free(held, listener.host, listener.port, name, count)
                update[name] = listener.model_copy(update={"port": port})
    return settings.model_copy(update=update)


def _free(held: ExitStack, host: str, port: int, name: str, count: int) -> int:
    """A port (0: any) that is free, as are the next ones, ``count`` in all; ``held`` keeps them.

    Raises:
        OSError: one is taken.
    """
    tries = 1 if port else TRIES
    while True:
        tries -= 1
        with ExitStack() as bound:
            first = bound.enter_context(_bound(host, port, name)).getsockname()[1]
            try:
                for number in range(first + 1, first + count):
                    bound.enter_context(_bound(host, number, name))
            except OSError:
                if not tries:
                    raise
            else:
                held.push(bound.pop_all())
                return int(first)


def _bound(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        if port > LAST_PORT:
            raise OSError(errno.EADDRNOTAVAIL, f"there is no port beyond {LAST_PORT}")
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
