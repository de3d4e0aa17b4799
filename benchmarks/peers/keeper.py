"""Runs one command and lets none of its processes outlive it.

    python -m benchmarks.peers.keeper COMMAND …

Peers start workers, workers start workers, and some let go of their children (Ray has a dozen).
This process is their subreaper (prctl(2)): whatever is orphaned below it becomes its child, so the
whole of a peer can be counted, and is ended, as one process tree. It ends with the command, on
SIGTERM, or when its parent dies, and sleeps until then.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

import psutil

__all__ = ["adopt_orphans", "end_tree", "main"]

GRACE_S = 12.0
"""What a command has to end in good order; ``benchmarks.process`` waits a little longer for us."""
KILL_S = 2.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ASKING = (signal.SIGTERM, signal.SIGINT)


class Asked(Exception):
    """SIGTERM or SIGINT came: the command is to end."""


class Late(Exception):
    """The command had its time to end."""


def adopt_orphans() -> None:
    """Become the parent of what is orphaned below, and end with the own parent.

    Raises:
        OSError: the kernel knows no subreapers.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, int(value), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def end_tree() -> None:
    """End every process below this one: SIGTERM, then SIGKILL."""
    number = signal.SIGTERM
    # Again and again, because those that were told may have started others meanwhile.
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        psutil.wait_procs(left, KILL_S)
        number = signal.SIGKILL


def _raise(error: type[Exception]) -> None:
    raise error


def _wait(command: int) -> int:
    """The command's exit status; adopted children that end before it are buried on the way."""
    while True:
        child, status = os.waitpid(-1, 0)
        if child == command:
            return os.waitstatus_to_exitcode(status)


def _end(command: int) -> int:
    """SIGTERM, and SIGKILL if the command takes too long."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: _raise(Late))
    os.kill(command, signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, GRACE_S)
    try:
        return _wait(command)
    except Late:
        os.kill(command, signal.SIGKILL)
        return _wait(command)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def main() -> int:
    adopt_orphans()
    for number in ASKING:
        signal.signal(number, lambda *_: _raise(Asked))
    # A session of its own: Ctrl-C in the terminal goes to the run, which ends servers in order.
    command = os.posix_spawnp(
        sys.argv[1], sys.argv[1:], os.environ, setsid=True, setsigdef=[signal.SIGPIPE]
    )
    try:
        status = _wait(command)
    except Asked:
        status = _end(command)
    end_tree()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    raise SystemExit(main())
