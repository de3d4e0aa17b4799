from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ALLOWED = (
    "serve.backends",
    "serve.tensors",
    "serve.repository",
    "serve.errors",
    "serve.config",
    "serve.clock",
)


@pytest.mark.parametrize("path", sorted((ROOT / "optimize").rglob("*.py")), ids=str)
def test_module_imports_of_serve_only_what_it_may(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("serve"):
            assert (node.module or "").startswith(ALLOWED), node.module


@pytest.mark.parametrize("path", sorted((ROOT / "serve").rglob("*.py")), ids=str)
def test_serve_imports_optimize_in_its_command_only(path: Path) -> None:
    found = "optimize." in "".join(
        f"{node.module}."
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optimize")
    )
    assert not found or path == ROOT / "serve" / "commands" / "optimize.py"


def test_importing_the_command_loads_nothing_heavy() -> None:
    heavy = "{'onnx', 'onnxruntime', 'sklearn', 'pandas', 'lightgbm', 'xgboost', 'torch'}"
    code = f"import sys, optimize.cli; print(*({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
