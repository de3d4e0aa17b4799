"""The peers' environments: made where they are missing or of another lock file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.models import ROOT

__all__ = ["SetupError", "ensure", "locked_version"]

HERE = Path(__file__).parent


class SetupError(RuntimeError):
    """A peer's set-up script failed; carries the end of what it printed."""


def ensure(peer: str, root: Path = ROOT) -> bool:
    """Run the peer's set-up script unless that has been done; returns whether it was run.

    Raises:
        SetupError: it failed.
    """
    folder = HERE / peer
    installed = root / "build" / "peers" / peer / "installed.txt"
    if installed.exists() and installed.read_bytes() == (folder / "lock.txt").read_bytes():
        return False
    done = subprocess.run(
        [str(folder / "setup.sh")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SetupError(f"set-up ended with {done.returncode}: {done.stdout.strip()[-1000:]}")
    return True


def locked_version(peer: str, package: str | None = None) -> str:
    """The version of a package in the peer's lock file, of the peer's own by default.

    Raises:
        LookupError: it is not in there.
    """
    package = package or PEERS[peer]
    lock = (HERE / peer / "lock.txt").read_text()
    found = re.search(rf"^{re.escape(package)}==(\S+)$", lock, re.MULTILINE)
    if found is None:
        raise LookupError(f"{peer}/lock.txt does not name {package}")
    return found.group(1)
