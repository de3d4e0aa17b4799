"""The throughput that a price is put on: from a result, at the SLO, or as it is given.

Of what a result has, the best proof counts: the confirmed rate of ``max_qps``; else what a closed
loop got out of the server within the SLO (``saturation``); else a rate that was kept.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["RESULTS", "Throughput", "from_last_result", "from_result", "given"]

METRICS = ("max_qps_per_s", "goodput_per_s")
NOTES = (
    "",
    "of a closed loop, whose callers wait for each other: users who come at random get less",
    "a rate that was kept, not the most the machine can do: a lower bound",
)
"""What has to be said of each kind of proof, the best first."""
RESULTS = (Path("benchmarks/results"), Path("bench-results"))
"""Where runs leave their results unless they are told otherwise."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions a second that one machine makes within the SLO."""

    qps: float
    origin: str
    """In words: which scenario of which file, or that it was given."""
    machine: str = ""
    notes: tuple[str, ...] = ()


def given(qps: float) -> Throughput:
    """A figure that somebody claims."""
    return Throughput(
        qps=qps,
        origin="given on the command line",
        notes=("the throughput was given, not measured by this run",),
    )


def from_result(path: Path, scenario: str | None = None) -> Throughput:
    """The throughput of a ``result.json``.

    ``scenario`` names one of its scenarios; without, the best proof, and the most of these.

    Raises:
        ValueError: it is no result, or none of its scenarios measured throughput and passed.
    """
    try:
        document = json.loads(path.read_bytes())
        candidates = [_candidate(one) for one in document["scenarios"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a result.json of `penstock bench` ({error})") from error
    usable = [one for one in candidates if one and scenario in (None, one[0])]
    if not usable:
        names = ", ".join(one[0] for one in candidates if one) or "none"
        raise ValueError(
            f"{path}: no scenario{f' {scenario}' if scenario else ''} that passed has one of"
            f" {', '.join(METRICS)} (there are: {names}); give a figure with --qps"
        )
    name, kind, qps, rows = min(usable, key=lambda one: (one[1], -one[2]))
    provenance = document.get("provenance", {})
    machine = provenance.get("machine", {})
    notes = [NOTES[kind]] if NOTES[kind] else []
    if rows > 1:
        notes.append(f"{rows} rows a request, each a prediction")
    measured = provenance.get("started", "")[:10]
    return Throughput(
        qps=qps * rows,
        origin=f"{METRICS[min(kind, 1)]} of {name} in {path}" + f", {measured}" * bool(measured),
        machine=f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores",
        notes=tuple(notes),
    )


def from_last_result(folders: Sequence[Path] = RESULTS) -> Throughput:
    """The throughput of the newest result below these folders that has one.

    Raises:
        ValueError: there is none.
    """
    files = [path for folder in folders for path in folder.glob("*/result.json")]
    for path in sorted(files, key=lambda one: one.stat().st_mtime, reverse=True):
        with contextlib.suppress(ValueError):
            return from_result(path)
    raise ValueError(
        f"no result below {' or '.join(map(str, folders))} has a throughput that was kept: run"
        " `penstock bench nightly --only max_qps`, name a result.json, or give a figure with --qps"
    )


def _candidate(scenario: dict[str, Any]) -> tuple[str, int, float, int] | None:
    """Name, kind of proof, requests a second and rows a request; None where it proves nothing."""
    if scenario["verdict"] != "pass" or not scenario["attempts"]:
        return None
    metrics = (scenario["attempts"][-1]["measurement"] or {}).get("metrics", {})
    params = scenario.get("params", {})
    kind = 0 if metrics.get(METRICS[0]) else 2
    if kind and scenario.get("scenario") == "saturation":
        kind = 1
        if metrics.get("latency_ms.p99", 0.0) > params.get("slo_ms", float("inf")):
            return None
    qps = metrics.get(METRICS[min(kind, 1)])
    return (scenario["name"], kind, float(qps), int(params.get("rows", 1))) if qps else None
