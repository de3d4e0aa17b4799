"""Where a run comes from: the commit, the packages, the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.gates.spec import Hardware

__all__ = ["ROOT", "commit", "git", "hardware_difference", "is_dirty", "lock_sha256"]

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this is part of."""


def git(*arguments: str, root: Path = ROOT) -> str:
    """What git prints; empty where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit(root: Path = ROOT) -> str:
    """The commit that is checked out; empty outside of git."""
    return git("rev-parse", "HEAD", root=root)


def is_dirty(root: Path = ROOT) -> bool:
    """Whether a tracked file differs from the commit."""
    return bool(git("status", "--porcelain", "--untracked-files=no", root=root))


def lock_sha256() -> str:
    """One hash for the names and versions of every package of this environment."""
    lines = sorted(
        {f"{found.name.lower()}=={found.version}" for found in importlib.metadata.distributions()}
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hardware_difference(wanted: Hardware, profile: str, machine: dict[str, Any]) -> str:
    """How this machine differs from the one the limits are for; empty if it does not."""
    differences = []
    if wanted.cpus is not None and machine["cores"] != wanted.cpus:
        differences.append(f"{machine['cores']} cores instead of {wanted.cpus}")
    if wanted.model is not None and wanted.model.lower() not in str(machine["cpu"]).lower():
        differences.append(f"{machine['cpu']} instead of {wanted.model}")
    if wanted.memory_gib_min is not None and machine["memory_gib"] < wanted.memory_gib_min:
        differences.append(f"{machine['memory_gib']} GiB instead of {wanted.memory_gib_min:g}")
    if not differences:
        return ""
    return f"the limits are for the profile {profile}, and this machine has " + ", ".join(
        differences
    )
