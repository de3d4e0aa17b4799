"""Where a version comes from: the files, the commit, the libraries and the steps that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from optimize.cache import files_digest
from optimize.judge import Trial
from optimize.runner import Runner
from optimize.settings import OptimizeSettings

__all__ = ["lineage_of", "source_files"]

UNREAD = ("README.md", "model.yaml", "request.json")
"""Files of a model's folder that neither the model nor its data come from."""


def source_files(folder: Path, settings: OptimizeSettings) -> list[Path]:
    """The files that decide what the model and its data are."""
    own = [path for path in folder.iterdir() if path.is_file() and path.name not in UNREAD]
    named = [
        folder / name
        for name in (
            settings.source,
            settings.data.evaluation,
            settings.data.training,
            settings.data.transfer,
            *settings.depends,
        )
        if name is not None
    ]
    files = {path.resolve(): None for path in own if not path.name.startswith(".")}
    for path in named:
        if ".py:" not in path.name and path.is_file():
            files[path.resolve()] = None
    return sorted(files)


def lineage_of(runner: Runner, chosen: Trial, export: dict[str, Any]) -> dict[str, Any]:
    """For the manifest; ``export`` is how the original became a graph."""
    settings = runner.settings
    return {
        "source": settings.source,
        "source_files": {
            path.name: files_digest([path]) for path in source_files(runner.folder, settings)
        },
        "data": settings.data.model_dump(),
        "code_commit": _commit(runner.folder),
        "libraries": runner.libraries,
        "steps": [
            {"name": "export", "parameters": export},
            *(
                {"name": step.kind, "parameters": step.model_dump(mode="json")}
                for step in chosen.candidate.steps
            ),
        ],
        **({"distil": chosen.distil} if chosen.distil else {}),
    }


def _commit(folder: Path) -> str | None:
    """The commit of the repository that the model's code is in, if it is in one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() or None
