"""Which steps can be applied to what is there: a graph, a program, or both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from optimize.artefact import export_details, served_file
from optimize.plan import Candidate
from optimize.steps import AotInductor
from optimize.steps.base import MODEL, PROGRAM, Step

__all__ = ["cannot", "no_graph", "that_fit"]


def that_fit(planned: Sequence[Candidate], export: Path) -> list[Candidate]:
    """The candidates, and of a network that ONNX cannot express, those that can do without.

    The planned ones stay, so that the report says why each was not made.
    """
    if served_file(export) is not None or any(
        candidate.steps and candidate.steps[0].takes == PROGRAM for candidate in planned
    ):
        return list(planned)
    threads = dict.fromkeys(candidate.threads for candidate in planned)
    # First, since nothing else can be made.
    return [*(Candidate((AotInductor(),), count) for count in threads), *planned]


def cannot(step: Step, before: Path) -> str:
    """Why a step cannot be applied to an artefact, or has nothing to do in it; empty if it has."""
    if (before / step.takes).is_file():
        return step.not_applicable(json.loads((before / "ops.json").read_text()))
    if step.takes == MODEL:
        return no_graph(before)
    problem = export_details(before).get("no_program")
    return problem or f"there is no {step.takes}: it takes the exported program of a torch module"


def no_graph(artefact: Path) -> str:
    """Why an artefact has no graph."""
    reason = export_details(artefact).get("no_onnx")
    if reason is None:
        return "what it would begin with is compiled already, and is no graph any more"
    return f"ONNX cannot express the network: {reason}"
