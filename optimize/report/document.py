"""The report as data: what ``results.json`` holds and the page shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optimize.asked import SIGNATURE
from optimize.judge import Trial
from optimize.report.environment import environment
from optimize.settings import OptimizeSettings

__all__ = ["document"]


def document(
    name: str,
    settings: OptimizeSettings,
    trials: Sequence[Trial],
    reference: Path,
    hardware: str,
    libraries: Mapping[str, str],
) -> dict[str, Any]:
    """Every candidate with its gates, figures and verdict, and what it was measured on."""
    signature = json.loads((reference / SIGNATURE).read_text())
    return {
        "schema_version": 1,
        "model": name,
        "metrics": list(settings.metrics),
        "objective": settings.objective,
        "at_batch": settings.gates.at_batch,
        "chosen": "",
        "edge_rows": {"asked": len(signature["labels"]), "refused": signature["refused"]},
        "candidates": [_candidate(trial) for trial in trials],
        "environment": environment(hardware, libraries),
    }


def _candidate(trial: Trial) -> dict[str, Any]:
    return {
        "name": trial.candidate.name,
        "lossy": trial.candidate.lossy,
        "threads": trial.candidate.threads,
        "graph_level": trial.candidate.graph_level,
        "steps": [
            {"name": step.kind, "parameters": step.model_dump(mode="json")}
            for step in trial.candidate.steps
        ],
        "verdict": "skipped" if trial.skipped else trial.verdict,
        "reason": _reason(trial),
        "gates": [gate.as_json() for gate in trial.gates],
        "metrics": trial.metrics,
        "errors": trial.errors,
        "profile": trial.profile,
        "distil": trial.distil,
        "sensitivity": trial.sensitivity,
    }


def _reason(trial: Trial) -> str:
    """In a sentence why it is out; empty for one that passes."""
    if trial.skipped:
        return trial.skipped
    for gate in trial.gates:
        if gate.verdict != "pass":
            figures = [
                f"{label} {value:.4g}"
                for label, value in (
                    ("is", gate.value),
                    ("bound", gate.bound),
                    ("limit", gate.limit),
                )
                if value is not None
            ]
            return f"{gate.name}: {', '.join(figures)}{'; ' if figures else ''}{gate.detail}"
    return ""
