"""Processes that a run starts: what ends them is the run, not a signal meant for the run.

Ctrl-C in a terminal and ``timeout`` signal a whole process group, and a service manager all
processes of a job. A server or a generator that heard such a signal before the run did would look
as if it had crashed in the middle of a measurement. So each child is in a group of its own, our own
ones leave signals to the run altogether, and none outlives it (prctl(2), PR_SET_PDEATHSIG; the
thread that starts a child has to live as long as it).
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = ["leave_signals_to_parent", "start_child"]

PR_SET_PDEATHSIG = 1


def start_child(
    command: Sequence[str],
    *,
    stdin: int | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, which gets SIGTERM when this one dies."""
    # Not as a `preexec_fn`: at such a fork Python swallows a Ctrl-C that comes at that moment.
    return subprocess.Popen(
        [*_until_death(), *command],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        process_group=0,
    )


def leave_signals_to_parent() -> None:
    """In a child of ours, first of all: no SIGINT, no SIGTERM, and SIGKILL when the parent dies."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


@functools.cache
def _until_death() -> tuple[str, ...]:
    """What makes the command after it die with its parent: a millisecond of util-linux, if any."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    done = subprocess.run([setpriv, "--help"], capture_output=True, text=True, check=False)
    return (setpriv, "--pdeathsig", "TERM", "--") if "--pdeathsig" in done.stdout else ()
