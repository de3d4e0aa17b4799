"""The files that a run leaves behind, each replaced at once, so that none is ever half written."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.gates.outcome import RunResult, encode
from benchmarks.report import digest, junit, page

__all__ = ["save_result", "write_all"]


def save_result(result: RunResult, folder: Path) -> Path:
    """``result.json`` alone: after each scenario, whatever comes next."""
    path = folder / "result.json"
    _replace(path, encode(result))
    return path


def write_all(result: RunResult, folder: Path) -> tuple[Path, ...]:
    """result.json, report.html, summary.md and junit.xml."""
    files = {
        "report.html": page.render(result).encode(),
        "summary.md": digest.render(result).encode(),
        "junit.xml": junit.render(result),
    }
    for name, data in files.items():
        _replace(folder / name, data)
    return (save_result(result, folder), *(folder / name for name in files))


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)
