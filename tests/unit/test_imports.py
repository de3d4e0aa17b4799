"""The import order of the packages, one way, and what a package may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEVELS = [
    {"serve.__version__", "serve.errors", "serve.clock"},
    {"serve.tensors", "serve.config", "serve.monitoring.metrics"},
    {
        "serve.protocol",
        "serve.scheduling",
        "serve.backends",
        "serve.cache",
        "serve.repository",
        "serve.traffic",
        "serve.monitoring",
    },
    {"serve.executors", "serve.registry"},
    {"serve.gateway"},
    {"serve.transport"},
    {"serve.listening"},
    {"serve.app"},
    {"serve.commands"},
    {"serve.ray_app", "serve.cli"},
]
CONTRACTS = {"serve.gateway.interface"}
"""Pure interfaces, importable from anywhere above the vocabulary."""


def level_of(module: str) -> tuple[int, str]:
    """The deepest entry of LEVELS that a module belongs to."""
    found = [
        (number, entry)
        for number, entries in enumerate(LEVELS)
        for entry in entries
        if module == entry or module.startswith(entry + ".")
    ]
    return max(found, key=lambda item: len(item[1]))


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("serve.")}


SOURCES = sorted(
    path for path in (ROOT / "serve").rglob("*.py") if path != ROOT / "serve" / "__init__.py"
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_module_imports_only_what_is_below_it(path: Path) -> None:
    module = name_of(path)
    if module == "serve.transport":
        return
    own_level, own_entry = level_of(module)
    for name in imports(path):
        if name in CONTRACTS or any(name.startswith(contract + ".") for contract in CONTRACTS):
            continue
        level, entry = level_of(name)
        assert entry == own_entry or level < own_level, f"{module} imports {name}"


@pytest.mark.parametrize("module", ["serve", "serve.cli", "serve.app"])
def test_importing_loads_no_runtime(module: str) -> None:
    code = (
        f"import sys, {module};"
        "print(*({'ray', 'torch', 'onnxruntime', 'sklearn', 'mlflow', 'fsspec', 'serve.registry'}"
        " & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_sources_stay_small() -> None:
    too_long = {
        name_of(path): lines
        for path in SOURCES
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert too_long == {}
