"""Where a run took place, and how much others used the machine meanwhile."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import time
from pathlib import Path

import psutil

__all__ = ["ForeignLoad", "busy_s", "cores", "facts", "own_s"]

PACKAGES = ("penstock", "onnxruntime", "uvloop", "httptools", "orjson", "msgspec", "numpy")


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def facts() -> dict[str, object]:
    """What someone needs to know to compare two runs."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


class ForeignLoad:
    """The share of the machine that neither we nor our children used, over an interval.

    Child processes count once they have been waited for; servers that still run are told apart
    by their own CPU, handed to ``share``.
    """

    def __init__(self) -> None:
        self._start_s = time.perf_counter()
        self._busy_s = busy_s()
        self._own_s = own_s()

    def share(self, servers_cpu_s: float) -> float:
        """Between 0 and 1, since this object was made; a hundredth of a second is the grain."""
        elapsed_s = time.perf_counter() - self._start_s
        ours_s = own_s() - self._own_s + servers_cpu_s
        foreign_s = busy_s() - self._busy_s - ours_s
        return max(0.0, foreign_s / (elapsed_s * (os.cpu_count() or 1)))


def busy_s() -> float:
    """Time that the machine's cores were not idle, since some moment; what the host took counts.

    Not the sum of what ``/proc/stat`` says they did: that is sampled by the timer, and work that
    begins at each tick of the timer, as a load generator's does, is hardly ever seen by it.
    """
    times = psutil.cpu_times()
    cores_s = time.perf_counter() * (os.cpu_count() or 1)
    return cores_s - float(times.idle + times.iowait)


def own_s() -> float:
    """CPU used by this process, and by its children that have ended and been waited for."""
    used = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        used += usage.ru_utime + usage.ru_stime
    return used
