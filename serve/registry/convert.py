"""A registered model of another library → ONNX, by `penstock optimize`'s export, in a process of
its own: what it loads may run code, take much memory, and ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

import serve
from serve.errors import RepositoryError
from serve.registry.client import problem_with

__all__ = ["convert"]

WORKER = "optimize.worker"
GENTLY = ("nice", "-n", "10")
"""A server may be answering on the same cores."""
TIMEOUT_S = 1800
MEMORY_SHARE = 0.8
LOG = "log.txt"
LEFT_OUT = ("log.txt", "ops.json", "export.json", "program.pt2", "error.json", "tmp")
"""What the worker leaves beside what is served."""


def convert(download: Path, version: Path, flavour: str, what: str) -> None:
    """Export the model in ``download`` into ``version``: graph, signature and golden samples.

    Raises:
        RepositoryError: it cannot be loaded or exported, or its graph answers otherwise.
    """
    task = {
        "task": "registered",
        "folder": str(download),
        "flavour": flavour,
        "memory_mb": int(psutil.virtual_memory().total * MEMORY_SHARE / 2**20),
    }
    with tempfile.TemporaryDirectory(dir=version.parent) as scratch:
        task_file, log = Path(scratch, "task.json"), Path(scratch, LOG)
        task_file.write_text(json.dumps(task))
        with open(log, "wb") as written:
            command = [*GENTLY, sys.executable, "-m", WORKER, str(task_file), str(version)]
            code = _run(command, written, what)
        if code != 0:
            raise _failure(version, log, code, what)
    for name in LEFT_OUT:
        (version / name).unlink(missing_ok=True)


def _run(command: list[str], log: Any, what: str) -> int:
    root = Path(serve.__file__).resolve().parents[1]
    try:
        return subprocess.run(  # noqa: S603 - this interpreter, this distribution
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=root,
            check=False,
            timeout=TIMEOUT_S,
        ).returncode
    except subprocess.TimeoutExpired:
        raise problem_with(
            what,
            f"it was not converted after {TIMEOUT_S} s",
            "export it to ONNX where it is trained, and register that",
        ) from None


def _failure(version: Path, log: Path, code: int, what: str) -> RepositoryError:
    told: dict[str, Any] = {}
    try:
        told = json.loads((version / "error.json").read_text())
    except (OSError, ValueError):
        lines = log.read_text(errors="replace").strip().splitlines()[-1:]
        told["problem"] = (
            f"its process ended with {code}: {(lines or ['it said nothing'])[0][:200]}"
        )
    remedy = told.get("remedy") or "export it to ONNX where it is trained, and register that"
    return problem_with(what, f"it cannot be converted: {told['problem']}", remedy)
