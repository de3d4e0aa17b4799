"""What kind of machine this is, as far as it decides how long a batch takes."""

from __future__ import annotations

import platform
import re
from pathlib import Path

__all__ = ["hardware_key"]

VECTOR_FLAGS = ("amx_int8", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "sve", "asimd")
"""The instructions that inference kernels are chosen by, the widest first."""


def hardware_key(cores: int, cpuinfo: Path = Path("/proc/cpuinfo"), gpu: str = "") -> str:
    """A name shared by equal machines, as in ``cpu-amd-epyc-7763-avx2-2c``.

    ``gpu`` is the name of the one that models run on, if they do. A profile measured on one machine
    is good on the other; on any other machine it is not.
    """
    try:
        text = cpuinfo.read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = found.group(1) if found else platform.machine() or "unknown"
    name = re.sub(
        r"\(r\)|\(tm\)|\bcpu\b|@.*|\b\d+-core processor\b|\bprocessor\b", " ", name.lower()
    )
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    present = set(flags.group(1).split()) if flags else set()
    vector = [flag.replace("_", "") for flag in VECTOR_FLAGS if flag in present][:1]
    words = re.findall(r"[a-z0-9]+", name)
    on_gpu = ["on", *re.findall(r"[a-z0-9]+", gpu.lower())] if gpu else []
    return "-".join(["cpu", *words, *vector, f"{cores}c", *on_gpu])
