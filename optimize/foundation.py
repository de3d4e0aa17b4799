"""What all candidates begin with: the original, its export, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optimize.cache import files_digest
from optimize.lineage import source_files
from optimize.runner import Done, Runner
from serve.config import ModelConfig

__all__ = ["Foundation", "lay_foundation"]


@dataclass(frozen=True)
class Foundation:
    """``shared`` are the fields of a task that say where all of it is."""

    export: Done
    reference: Done
    shared: dict[str, Any]


def lay_foundation(runner: Runner) -> Foundation:
    """Load the original, export it, and ask it what candidates will be asked.

    Raises:
        OptimizeError: one of these cannot be done.
    """
    settings, inputs = runner.settings, runner.config.inputs
    source = runner.do(
        "source",
        {
            "task": "source",
            "source": settings.source,
            "evaluation": settings.data.evaluation,
            "target": settings.data.target,
            "outputs": list(runner.config.outputs),
            "variable": _variable(runner.config),
        },
        files_digest(source_files(runner.folder, settings)),
    )
    shared: dict[str, Any] = {"source_result": str(source.path)}
    export = runner.do("export", {"task": "export", **shared}, source.key)
    shared |= {
        "export": str(export.path),
        "defaults": {
            name: each.default for name, each in inputs.items() if each.default is not None
        },
    }
    asked = {
        "task": "reference",
        "ranges": {name: each.range for name, each in inputs.items() if each.range is not None},
        "boundary_ulps": settings.gates.boundary_ulps,
        **shared,
    }
    reference = runner.do("reference", asked, source.key, export.key)
    return Foundation(export, reference, {**shared, "reference": str(reference.path)})


def _variable(config: ModelConfig) -> dict[str, list[int]]:
    """The dimensions beside the batch that model.yaml says differ from row to row, by input."""
    return {
        name: [place for place, size in enumerate(each.shape) if size == -1 and place]
        for name, each in config.inputs.items()
        if each.shape
    }
