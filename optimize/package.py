"""The next version folder: written beside the others, replayed, and renamed into place."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimize.asked import SIGNATURE
from optimize.judge import Trial
from optimize.report.page import write_report
from optimize.settings import Gates
from optimize.sidecar import TOKENIZER, tokenizer_of
from serve.backends.tensorrt import COMPILED as ENGINES
from serve.repository.manifest import MANIFEST, Manifest, file_sha256
from serve.repository.versions import version_folders

__all__ = ["Chosen", "publish", "version_made_by"]

GOLDEN_LOSSY_ATOL = 1e-3
"""How far another machine's kernels may answer from these where int8 rounds differently."""
BESIDE = ("model.onnx.data", TOKENIZER)
"""Files that a graph needs beside it, where they are."""


@dataclass(frozen=True)
class Chosen:
    """What goes into the package: the trial, its files and what they were made from."""

    trial: Trial
    model: Path
    samples: Path
    reference: Path
    hardware: str
    made_from: str
    lineage: dict[str, Any]


def version_made_by(folder: Path, made_from: str) -> Path | None:
    """The latest version, if it is what would be made again."""
    versions = version_folders(folder)
    if not versions:
        return None
    latest = versions[max(versions)]
    try:
        manifest = json.loads((latest / MANIFEST).read_text())
        return latest if manifest["lineage"]["made_from"] == made_from else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(
    folder: Path,
    chosen: Chosen,
    report: dict[str, Any],
    replay: Callable[[Path], None],
    limits: Gates,
) -> Path:
    """Write the next version; a reader of the repository sees it whole or not at all.

    ``replay`` is given the complete folder before it has its name, and raises if it is not good.
    """
    number = max(version_folders(folder), default=0) + 1
    # A leading dot: no server takes it for a version, and no model folder for a model.
    staging = folder / f".{number}.{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        shutil.copyfile(chosen.model, staging / chosen.model.name)
        for name in BESIDE:
            if (chosen.model.parent / name).exists():
                shutil.copyfile(chosen.model.parent / name, staging / name)
        if (chosen.model.parent / ENGINES).is_dir():
            shutil.copytree(chosen.model.parent / ENGINES, staging / ENGINES)
        shutil.copyfile(chosen.samples / "golden.npz", staging / "golden.npz")
        shutil.copyfile(chosen.samples / "drift.json", staging / "drift.json")
        write_report(staging / "report", report)
        manifest = _manifest(folder, number, chosen, staging, limits)
        text = manifest.model_dump_json(indent=1)
        (staging / MANIFEST).write_text(text + "\n")
        replay(staging)
        staging.rename(folder / str(number))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder / str(number)


def _manifest(folder: Path, number: int, chosen: Chosen, staging: Path, limits: Gates) -> Manifest:
    trial = chosen.trial
    signature = json.loads((chosen.reference / SIGNATURE).read_text())
    outputs = json.loads((chosen.samples / "outputs.json").read_text())
    moved = json.loads((chosen.samples / "golden.json").read_text())["moved"]
    lossy = trial.candidate.lossy
    files = sorted(path for path in staging.rglob("*") if path.is_file())
    return Manifest.model_validate(
        {
            "schema_version": 1,
            "name": folder.name,
            "version": number,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "signature": {"inputs": signature["inputs"], "outputs": outputs},
            "session": {
                "intra_op_threads": trial.candidate.threads,
                "graph_optimization": trial.candidate.graph_level,
            },
            "files": [
                {
                    "path": str(path.relative_to(staging)),
                    "sha256": file_sha256(path),
                    "bytes": path.stat().st_size,
                }
                for path in files
            ],
            "tokenizer": tokenizer_of(chosen.model.parent),
            "golden": {
                "path": "golden.npz",
                "atol": max(limits.atol, GOLDEN_LOSSY_ATOL if lossy else 0),
                # Twice what was seen, for batches that were not tried.
                "batch_atol": 2 * moved if lossy else 0,
                "rtol": limits.rtol,
            },
            "profiles": [_profile(trial, chosen.hardware)],
            "reference": "drift.json",
            "report": "report/index.html",
            "metrics": trial.metrics,
            "gates": [gate.as_json() for gate in trial.gates],
            "lineage": {**chosen.lineage, "made_from": chosen.made_from},
        }
    )


def _profile(trial: Trial, hardware: str) -> dict[str, Any]:
    profile = trial.profile
    return {
        "hardware_key": hardware,
        "intra_op_threads": trial.candidate.threads,
        "graph_optimization": trial.candidate.graph_level,
        "typical_length": profile["typical_length"],
        "load_ms": profile["load_ms"],
        "memory_bytes": profile["memory_bytes"],
        "rows": [
            {
                "batch": row["batch"],
                "length": row["length"],
                "count": row["count"],
                "p50_us": row["p50_ns"] / 1e3,
                "p95_us": row["p95_ns"] / 1e3,
                "p99_us": row["p99_ns"] / 1e3,
            }
            for row in profile["rows"]
        ],
    }
