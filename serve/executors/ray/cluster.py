"""Ray itself: a cluster of our own, which ends with us, or one that is there. Imports ray.

Ray takes its settings from the environment, when it is imported: what is needed is set first.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from serve.executors.ray.own_folder import own_folder

__all__ = ["LOCAL", "Cluster", "connected", "joined"]


LOCAL = "local"
"""The address that stands for a cluster of one's own."""
OBJECT_STORE_BYTES = 100 * 10**6
"""Ray's own store, through which only what Serve says to its replicas passes."""
SECRET_BYTES = 32
REACH_S = 5.0
LAST_PORT = 65535
RUN_BYTES = 6
KEPT = b"penstock"
"""Where a cluster keeps what the first of our servers on it has made up."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """``folder``: for the sockets of replicas, on every node; ``secret`` is for those on others."""

    own: bool
    folder: Path
    secret: bytes = field(repr=False)

    @property
    def default_cpus(self) -> float:
        """What a replica reserves that does not say: on one machine all share what there is."""
        return 0.0 if self.own else 1.0

    def abandon(self) -> None:
        """Leave nothing behind a process that is about to end without waiting for its own."""
        if self.own:
            _kill(_descendants())
            shutil.rmtree(self.folder.parent, ignore_errors=True)

    def nodes(self) -> Sequence[dict[str, float]]:
        """All that each node has, in use or not."""
        import ray

        return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Start a cluster of our own (``LOCAL``), or join the one at ``address``, and leave it again.

    Of a cluster of our own nothing is left afterwards, neither a process nor a file. On a joined
    one the secret of the replicas stays, so that a server that comes after us can take over.

    Raises:
        ConnectionError: there is no cluster at ``address``, or it does not know our token.
    """
    if address == LOCAL:
        with _own_cluster() as cluster:
            yield cluster
        return
    ray = _ray()
    _reach(address)
    ray.init(address=address, namespace="penstock", logging_level=logging.WARNING)
    try:
        yield joined()
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """See that somebody listens: Ray itself would try for minutes, and then not say where."""
    host, colon, port = address.rpartition(":")
    if address == "auto" or "://" in address:
        return
    if not (host and colon and port.isdecimal() and int(port) <= LAST_PORT):
        raise ValueError(
            f"--ray takes host:port, `auto` or `local`, like 10.0.0.1:6379; is {address}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster at {address} ({error.strerror or error}): start one with"
            " `ray start --head`, or leave the address out for one of its own on this machine"
        ) from None


def joined() -> Cluster:
    """The cluster that this process is part of, and where our servers on it meet."""
    made_up = secrets.token_bytes(SECRET_BYTES + RUN_BYTES)
    known = _first(KEPT, made_up)
    secret, run = known[:SECRET_BYTES], known[SECRET_BYTES:].hex()
    folder = Path("/tmp") / f"penstock-{os.geteuid()}-{run}"  # noqa: S108 - of mode 0700
    return Cluster(False, folder, secret)


def _first(name: bytes, value: bytes) -> bytes:
    """What the cluster keeps under ``name``: ``value``, unless there is something already.

    Ray's own store of such things, which is private to it and as safe as its token.
    """
    from ray.experimental import internal_kv

    internal_kv._internal_kv_put(name, value, overwrite=False, namespace=name)
    kept: bytes = internal_kv._internal_kv_get(name, namespace=name)
    return kept


@contextmanager
def _own_cluster() -> Iterator[Cluster]:
    environment = os.environ  # noqa: TID251 - Ray takes these from nowhere else
    environment["RAY_AUTH_MODE"] = "token"
    environment["RAY_AUTH_TOKEN"] = secrets.token_hex(SECRET_BYTES)
    environment.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's workers give way to every other process (15) unless told: ours answer callers.
    environment.setdefault("RAY_worker_niceness", "0")
    environment.setdefault("RAY_DEDUP_LOGS", "0")  # lines of the access log may be alike
    environment.setdefault("RAY_COLOR_PREFIX", "0")
    environment.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = _ray()
    with own_folder() as folder:
        try:
            ray.init(
                address="local",
                namespace="penstock",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                logging_level=logging.WARNING,
                _temp_dir=str(folder / "ray"),
            )
            yield Cluster(True, folder / "sockets", b"")
        finally:
            started = _descendants()
            ray.shutdown()
            _kill(started)


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _kill(processes: Iterable[psutil.Process]) -> None:
    """End what is left of Ray's processes: a node's agents outlive it by minutes, at times."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ValueError(
            "--ray needs Ray: install the extra with `pip install 'penstock[cpu,ray]'`"
        ) from error
    return ray
