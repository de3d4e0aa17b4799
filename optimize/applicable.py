"""Which steps can be applied to what is there: a graph, a program, or both; and on which device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from optimize.artefact import export_details, served_file
from optimize.errors import OptimizeError
from optimize.plan import Candidate
from optimize.steps import AotInductor
from optimize.steps.base import MODEL, PROGRAM, Step
from serve.backends.providers import CUDA
from serve.backends.tensorrt import gpu_facts

__all__ = ["cannot", "no_graph", "target_gpu", "that_fit"]


def that_fit(planned: Sequence[Candidate], export: Path, device: str) -> list[Candidate]:
    """The candidates, and of a network that ONNX cannot express, those that can do without.

    The planned ones stay, so that the report says why each was not made.
    """
    if served_file(export) is not None or any(
        candidate.steps and candidate.steps[0].takes == PROGRAM for candidate in planned
    ):
        return list(planned)
    threads = dict.fromkeys(candidate.threads for candidate in planned)
    # First, since nothing else can be made.
    compiled = AotInductor.model_validate({"device": device})
    return [*(Candidate((compiled,), count) for count in threads), *planned]


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


def target_gpu(device: str) -> str:
    """The name of the GPU that candidates are made for; empty where it is the CPU.

    Raises:
        OptimizeError: the target has a GPU, and nothing here could verify or measure on one.
    """
    if device == "cpu":
        return ""
    import onnxruntime

    reason = "" if CUDA in onnxruntime.get_available_providers() else "onnxruntime has no CUDA"
    facts = gpu_facts(0)
    if reason or isinstance(facts, str):
        raise OptimizeError(
            step="plan",
            problem=f"optimize.target.device is {device}, and here {reason or facts}",
            remedy="run it on the machine that will serve, with pip install 'penstock[gpu]', or"
            " set it to cpu",
        )
    return facts[0]
