"""A network of two on this machine, with a cable that can be cut; needs root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Network:
    """``here`` is this machine's address, ``there`` that of the namespace ``name``."""

    name: str
    here: str = "10.213.77.1"
    there: str = "10.213.77.2"

    @property
    def cable(self) -> str:
        """The end of it on this side."""
        return f"{self.name[:11]}-0"

    def cut(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        _ip("link", "set", self.cable, "down")


@contextmanager
def network() -> Iterator[Network]:
    """The network until the block ends; skips the test where there can be none."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("needs root, and the command ip")
    made = Network(f"ps{os.getpid()}")
    other = f"{made.name[:11]}-1"
    try:
        _ip("netns", "add", made.name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs network namespaces: {error.stderr}")
    inside = ("-n", made.name)
    try:
        _ip("link", "add", made.cable, "type", "veth", "peer", "name", other)
        _ip("link", "set", other, "netns", made.name)
        _ip("address", "add", f"{made.here}/30", "dev", made.cable)
        _ip(*inside, "address", "add", f"{made.there}/30", "dev", other)
        _ip("link", "set", made.cable, "up")
        _ip(*inside, "link", "set", other, "up")
        _ip(*inside, "link", "set", "lo", "up")
        yield made
    finally:
        _ip("netns", "delete", made.name)  # the cable goes with it


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """What this thread starts in the block is in the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as own:
        with Path(f"/run/netns/{namespace}").open("rb") as other:
            _enter(libc, other.fileno())
        try:
            yield
        finally:
            _enter(libc, own.fileno())


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
