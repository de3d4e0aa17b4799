"""What a candidate was measured on, as far as it decides how long it takes."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from serve.backends.threads import available_cores

__all__ = ["environment"]

FLAGS = re.compile(r"amx\w*|avx\w*|f16c|fma|sse4_2|sve\w*|asimd\w*|bf16|i8mm")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
UNKNOWN = "not told by this machine"


def environment(
    hardware: str, libraries: Mapping[str, str], cpuinfo: Path = Path("/proc/cpuinfo")
) -> dict[str, Any]:
    """The machine, how busy it is now, and the versions of what ran on it."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        text = ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = found.group(1).split() if found else []
    return {
        "hardware": hardware,
        "cores": available_cores(),
        "cpu_flags": sorted({flag for flag in flags if FLAGS.fullmatch(flag)}),
        "governor": _governor(),
        "memory_mb": round(psutil.virtual_memory().total / 2**20),
        "kernel": platform.release(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "libraries": dict(libraries),
    }


def _governor() -> str:
    try:
        return GOVERNOR.read_text().strip()
    except OSError:
        return UNKNOWN
