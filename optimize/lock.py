"""One optimisation of a model at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optimize.errors import OptimizeError

__all__ = ["model_lock"]


@contextmanager
def model_lock(folder: Path) -> Iterator[None]:
    """Hold a model's lock; the kernel lets go of it however the process ends.

    Raises:
        OptimizeError: another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise OptimizeError(
                step="lock",
                problem=f"{folder.parent} is being optimised already, by process {file.read()}",
                remedy="wait until it ends, or stop it with Ctrl-C",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
