"""Little memory for one process that runs already, through the kernel's control groups."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

GROUPS = Path("/sys/fs/cgroup")
HOME = {"memory.limit_in_bytes": GROUPS / "memory", "memory.max": GROUPS}
"""Where groups with this file are made, in the two versions of control groups."""


@contextmanager
def memory_limit(pid: int, extra_bytes: int) -> Iterator[None]:
    """The kernel kills ``pid`` if it takes so much more memory. Skips where that is not allowed."""
    for limit, home in HOME.items():
        group = home / f"penstock-test-{pid}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / limit).exists():
                continue
            # What a process has already stays with the group that it leaves.
            (group / limit).write_text(str(extra_bytes))
            (group / "cgroup.procs").write_text(str(pid))
            yield
            return
        finally:
            _leave(home, pid)
            group.rmdir()
    pytest.skip("needs root, and control groups that can limit memory")


def _leave(home: Path, pid: int) -> None:
    """Move the process back, if it lives."""
    try:
        (home / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise
