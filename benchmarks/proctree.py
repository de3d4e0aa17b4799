"""What a process and its children use: CPU, waiting for a core, memory, files, threads."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["ProcessTree", "process_cpu_s"]


class ProcessTree:
    """A process and all its descendants, as they are when asked.

    Processes that have ended are no longer counted.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def pids(self) -> list[int]:
        """The process and its descendants.

        Raises:
            psutil.NoSuchProcess: it has ended.
        """
        children = psutil.Process(self.pid).children(recursive=True)
        return [self.pid, *(child.pid for child in children)]

    def cpu_s(self) -> float:
        """CPU, user and system, of all threads so far, ended ones included; grain 1 ns."""
        return sum(map(process_cpu_s, self.pids()))

    def user_cpu_s(self) -> float:
        """The part of ``cpu_s`` spent outside the kernel, to a hundredth of a second."""
        return sum(float(psutil.Process(pid).cpu_times().user) for pid in self.pids())

    def wait_s(self) -> float:
        """Time that live threads were ready to run and had no core to run on."""
        return sum(wait_ns for pid in self.pids() for wait_ns in _waits_ns(pid)) / 1e9

    def rss_bytes(self) -> int:
        """Memory resident now."""
        return sum(_status_bytes(pid, "VmRSS") for pid in self.pids())

    def peak_rss_bytes(self) -> int:
        """Most memory resident at once so far."""
        return sum(_status_bytes(pid, "VmHWM") for pid in self.pids())

    def open_files(self) -> int:
        """File descriptors in use."""
        return sum(psutil.Process(pid).num_fds() for pid in self.pids())

    def threads(self) -> int:
        """Threads alive."""
        return sum(psutil.Process(pid).num_threads() for pid in self.pids())


def process_cpu_s(pid: int) -> float:
    """CPU of one process, from its own clock; 0 if it has ended.

    The clock's number is made from the process's as Linux does it (CPUCLOCK_SCHED, see
    clock_getcpuclockid(3)). The files under /proc count hundredths of a second, or forget threads
    that have ended.
    """
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2)
    return 0.0


def _waits_ns(pid: int) -> Iterator[int]:
    """Of each thread; the second figure of ``schedstat``."""
    with contextlib.suppress(OSError):  # the process has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                yield int((task / "schedstat").read_text().split()[1])


def _status_bytes(pid: int, field: str) -> int:
    """A field of the process's status; 0 if it has ended, waited for by its parent or not."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0
