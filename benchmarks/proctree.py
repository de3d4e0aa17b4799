"""What a process and its children use: CPU, waiting for a core, memory, files, threads."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection
from pathlib import Path

import psutil

__all__ = ["ProcessTree", "process_cpu_s", "process_waits_ns"]


class ProcessTree:
    """A process and all its descendants, as they are when asked.

    Processes that have ended are no longer counted.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def pids(self) -> list[int]:
        """The process and its descendants, parents first."""
        found = [self.pid]
        for pid in found:  # which grows meanwhile
            found += _children(pid)
        return found

    def cpu_s(self) -> float:
        """CPU, user and system, of all threads so far, ended ones included; grain 1 ns."""
        return sum(map(process_cpu_s, self.pids()))

    def user_cpu_s(self) -> float:
        """The part of ``cpu_s`` spent outside the kernel, to a hundredth of a second."""
        return sum(float(psutil.Process(pid).cpu_times().user) for pid in self.pids())

    def waits_ns(self) -> dict[tuple[int, int], int]:
        """Time that live threads were ready to run and had no core, by process and thread."""
        waits: dict[tuple[int, int], int] = {}
        for pid in self.pids():
            waits |= process_waits_ns(pid)
        return waits

    def rss_bytes(self) -> int:
        """Memory resident now."""
        return sum(_status_bytes(pid, "VmRSS") for pid in self.pids())

    def pss_bytes(self) -> int:
        """Memory resident now, where processes that share a page have a part of it each."""
        return sum(_status_bytes(pid, "Pss", "smaps_rollup") for pid in self.pids())

    def peak_rss_bytes(self) -> int:
        """Most memory resident at once so far."""
        return sum(_status_bytes(pid, "VmHWM") for pid in self.pids())

    def keep_to(self, cores: Collection[int]) -> None:
        """Run on these cores only: all threads there are, and those that they will start."""
        for pid in self.pids():
            for task in _tasks(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(task, cores)

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


def _children(pid: int) -> list[int]:
    """From the kernel's own list: asking every process for its parent takes ten times as long."""
    return [int(child) for text in _of_tasks(pid, "children").values() for child in text.split()]


def process_waits_ns(pid: int) -> dict[tuple[int, int], int]:
    """Time that live threads of a process waited for a core: the second figure of ``schedstat``."""
    texts = _of_tasks(pid, "schedstat")
    return {(pid, task): int(text.split()[1]) for task, text in texts.items()}


def _of_tasks(pid: int, name: str) -> dict[int, str]:
    """A file of each thread; those that have ended meanwhile are left out."""
    texts = {}
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            texts[task] = Path(f"/proc/{pid}/task/{task}/{name}").read_text()
    return texts


def _tasks(pid: int) -> list[int]:
    """Its threads; none if it has ended."""
    with contextlib.suppress(OSError):
        return [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    return []


def _status_bytes(pid: int, field: str, file: str = "status") -> int:
    """A field of the process's status; 0 if it has ended, waited for by its parent or not."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0
