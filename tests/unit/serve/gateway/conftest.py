"""Small repositories on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import onnx_models
from tests.support.triton_repository import write

SETTINGS = """
inputs: {x: {datatype: FP32, shape: [-1, 2]}}
outputs: {y: {datatype: FP32, shape: [-1, 2]}}
"""

AddPython = Callable[[str, str], Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository of one good model."""
    onnx_models.identity(tmp_path / "good" / "1" / "model.onnx")
    return tmp_path


@pytest.fixture
def add_python(root: Path) -> AddPython:
    """``add_python(name, code)``: a Python model beside it, x in and y out."""

    def add(name: str, code: str) -> Path:
        write(root, f"{name}/model.yaml", SETTINGS)
        write(root, f"{name}/1/model.py", code)
        return root / name

    return add


@pytest.fixture
def add_stuck(add_python: AddPython) -> Iterator[Callable[[str], Path]]:
    """``add_stuck(name)``: a model whose import waits until the test is over."""
    gates = []

    def add(name: str) -> Path:
        folder = add_python(
            name, "import pathlib; (pathlib.Path(__file__).parent / 'gate').read_text()"
        )
        gates.append(folder / "1" / "gate")
        os.mkfifo(gates[-1])
        return folder

    yield add
    for gate in gates:
        os.close(os.open(gate, os.O_RDWR))
