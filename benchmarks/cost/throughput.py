"""The throughput that a price is put on: from a result, at the SLO, or as it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Throughput", "from_result", "given"]

METRICS = ("max_qps_per_s", "goodput_per_s")
"""The confirmed search first; else answers within the SLO at the rate that was offered."""


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

    ``scenario`` names one of its scenarios; without, the first that searched for the maximum, or
    the one with the most answers within the SLO.

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
    name, metric, qps, rows = min(usable, key=lambda one: (METRICS.index(one[1]), -one[2]))
    machine = document.get("provenance", {}).get("machine", {})
    notes = []
    if metric != METRICS[0]:
        notes.append("a rate that was kept, not the most the machine can do: a lower bound")
    if rows > 1:
        notes.append(f"{rows} rows a request, each a prediction")
    return Throughput(
        qps=qps * rows,
        origin=f"{metric} of {name} in {path}",
        machine=f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores",
        notes=tuple(notes),
    )


def _candidate(scenario: dict[str, Any]) -> tuple[str, str, float, int] | None:
    """Name, metric, requests a second and rows a request; None where it proves no throughput."""
    if scenario["verdict"] != "pass" or not scenario["attempts"]:
        return None
    metrics = (scenario["attempts"][-1]["measurement"] or {}).get("metrics", {})
    for metric in METRICS:
        if metrics.get(metric):
            rows = int(scenario.get("params", {}).get("rows", 1))
            return scenario["name"], metric, float(metrics[metric]), rows
    return None
