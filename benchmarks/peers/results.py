"""What a run of the peers' comparison has seen so far, as plain data and as a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Loaded", "Results", "Visit", "read", "write"]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one server."""

    load: str
    """``closed-64`` (connections) or ``open-1000`` (requests a second)."""
    offered: int
    ok: int
    not_ok: int
    """Refused, failed or not answered."""
    ok_per_s: float
    p50_ms: float
    p99_ms: float
    """Closed loop: from the sending; open loop: from the intended send time."""
    cpu_us: float
    """CPU of the server's whole process tree for each good answer."""
    foreign_share: float
    """Part of the machine that neither the server nor the generator used."""
    kept: bool = True
    """Open loop: 99 % of the arrivals were answered well, and no backlog was left to speak of."""
    doubts: tuple[str, ...] = ()
    """Why the generator did not drive this load honestly."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one row's server with one model, all its loads, and its end."""

    peer: str
    row: str
    model: str
    round: int
    start_s: float = 0.0
    """From the start of the process to the first right answer."""
    memory_mib: float = 0.0
    """Proportional set size of all its processes after the loads."""
    loads: tuple[Loaded, ...] = ()
    failure: str = ""
    """Why loads are missing: it did not start, answered wrongly, or ended on the way."""
    took_s: float = 0.0
    """All of it."""

    def load(self, name: str) -> Loaded | None:
        """One load by name; None where it was not reached."""
        return next((loaded for loaded in self.loads if loaded.load == name), None)


class Results(msgspec.Struct, kw_only=True):
    """Everything the table is made of; grows by a visit at a time."""

    date: str
    command: str
    commit: str
    machine: dict[str, Any]
    versions: dict[str, str]
    """Of the peers, by folder."""
    settings: dict[str, Any]
    visits: list[Visit] = []
    complete: bool = False
    """Whether every planned visit took place; a run that was interrupted is a valid part of one."""


def write(results: Results, file: Path) -> None:
    """Replaces the file in one step, so that there is a whole one at any time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".tmp")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    scratch.replace(file)


def read(file: Path) -> Results:
    """What ``write`` wrote.

    Raises:
        OSError: there is no such file.
        msgspec.DecodeError: it holds something else.
    """
    return msgspec.json.decode(file.read_bytes(), type=Results)
