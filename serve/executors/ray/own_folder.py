"""The folder of a cluster of one's own: it goes when the command ends, however that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve.clock import NS_PER_S, monotonic_ns

__all__ = ["own_folder"]

ROOT = Path("/tmp")  # noqa: S108 - each folder in it is of mode 0700, and paths of sockets are short
PREFIX = "penstock-ray-"
LOCK = "lock"
"""Held by the command as long as it lives."""
REMOVE_S = 5.0
REMOVE_AGAIN_S = 0.05


@contextmanager
def own_folder(root: Path = ROOT) -> Iterator[Path]:
    """A new folder of mode 0700, removed at the end.

    Those whose command was killed before it could do so are removed first.
    """
    _remove_abandoned(root)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    unnamed = folder / f"{LOCK}.new"
    with unnamed.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unnamed.rename(folder / LOCK)  # not before it is held
        try:
            yield folder
        finally:
            _remove(folder)


def _remove_abandoned(root: Path) -> None:
    for folder in root.glob(f"{PREFIX}*"):
        try:
            if folder.lstat().st_uid != os.geteuid():
                continue
            with (folder / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, or gone by now


def _remove(folder: Path) -> None:
    """Remove a folder that processes may still write their last to."""
    give_up_ns = monotonic_ns() + int(REMOVE_S * NS_PER_S)
    while folder.exists() and monotonic_ns() < give_up_ns:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(REMOVE_AGAIN_S)
