from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optimize.applicable import cannot, no_graph, target_gpu, that_fit
from optimize.artefact import served_file
from optimize.errors import OptimizeError
from optimize.plan import Candidate
from optimize.steps import AotInductor, Clean, QuantizeDynamic
from optimize.steps.base import COMPILED, EXPORT, MODEL, PROGRAM
from serve.backends.providers import nvidia_device_present

PLAN = [Candidate((Clean(),), 1), Candidate((Clean(),), 2), Candidate((), 1)]


def artefact(folder: Path, *files: str, ops: dict[str, int] | None = None, **export: Any) -> Path:
    for name in files:
        (folder / name).write_bytes(b"")
    (folder / "ops.json").write_text(json.dumps(ops or {}))
    if export:
        (folder / EXPORT).write_text(json.dumps(export))
    return folder


def test_step_with_its_file_is_asked_whether_it_has_anything_to_do(tmp_path: Path) -> None:
    assert cannot(Clean(), artefact(tmp_path, MODEL)) == ""
    assert "no MatMul" in cannot(QuantizeDynamic(), artefact(tmp_path, MODEL, ops={"Add": 1}))


def test_program_without_a_graph_can_be_compiled_and_nothing_else(tmp_path: Path) -> None:
    export = artefact(tmp_path, PROGRAM, no_onnx="No ONNX function found for aten::matrix_exp")
    assert cannot(AotInductor(), export) == ""
    assert "ONNX cannot express the network: No ONNX" in cannot(Clean(), export)
    assert served_file(export) is None


def test_compiled_code_is_no_graph_for_the_next_step(tmp_path: Path) -> None:
    assert "compiled already" in cannot(Clean(), artefact(tmp_path, COMPILED))
    assert served_file(tmp_path) == tmp_path / COMPILED


def test_trees_have_no_program(tmp_path: Path) -> None:
    assert "no program.pt2" in cannot(AotInductor(), artefact(tmp_path, MODEL))


def test_program_that_cannot_be_compiled_says_why(tmp_path: Path) -> None:
    export = artefact(tmp_path, MODEL, no_program="forward writes to its input 'x'")
    assert cannot(AotInductor(), export) == "forward writes to its input 'x'"


def test_compiling_is_added_where_nothing_else_can_be_done(tmp_path: Path) -> None:
    found = that_fit(PLAN, artefact(tmp_path, PROGRAM, no_onnx="an operator"), "cpu")
    assert [each.name for each in found[:2]] == [
        "export → aot-inductor, 1 thread",
        "export → aot-inductor, 2 threads",
    ]
    assert found[2:] == PLAN
    assert no_graph(tmp_path) == "ONNX cannot express the network: an operator"


def test_plan_stays_where_there_is_a_graph_or_where_it_compiles_already(tmp_path: Path) -> None:
    compiles = [Candidate((AotInductor(),), 1)]
    export = artefact(tmp_path, PROGRAM, no_onnx="an operator")
    assert that_fit(compiles, export, "cpu") == compiles
    assert that_fit(PLAN, artefact(tmp_path, MODEL), "cpu") == PLAN


@pytest.mark.skipif(nvidia_device_present(), reason="a GPU is there")
def test_target_with_a_gpu_needs_one_here() -> None:
    assert target_gpu("cpu") == ""
    with pytest.raises(OptimizeError, match=r"target\.device is cuda.*the machine that will serve"):
        target_gpu("cuda")
