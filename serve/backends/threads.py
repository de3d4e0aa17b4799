"""How many cores this process may use, and what a batch gets of them."""

from __future__ import annotations

import os
from pathlib import Path

from serve.config import Resources

__all__ = ["available_cores", "threads_per_batch"]


def available_cores(
    cgroup: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Cores by CPU affinity and by cgroup quota, whichever is less; at least one.

    A container limited to 2 CPUs of a 64-core host sees 64 cores, and is paused by the kernel for
    most of each 100 ms period if it runs 64 threads. A fraction of a core is rounded down.
    """
    cores = len(os.sched_getaffinity(0))
    quotas = [quota for folder in _folders(cgroup, membership) if (quota := _quota(folder))]
    return max(1, int(min([cores, *quotas])))


def threads_per_batch(resources: Resources, cores: int) -> int:
    """Threads for one batch: as set, or a fair share of the cores for each instance."""
    return resources.intra_op_threads or max(1, cores // resources.instances)


def _folders(cgroup: Path, membership: Path) -> list[Path]:
    """The control groups this process is in, innermost first, and the root (cgroup v2 and v1)."""
    folders = [cgroup, cgroup / "cpu"]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        inner = (cgroup / "cpu" if controllers else cgroup) / path.lstrip("/")
        while inner not in folders and inner != inner.parent:
            folders.insert(0, inner)
            inner = inner.parent
    return folders


def _quota(folder: Path) -> float:
    """Cores allowed by one control group; 0 if it sets no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return 0
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return 0
    return int(quota) / int(period)
