"""A package loaded back as the server will load it, in a process that never saw its training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from optimize.artefact import served_file
from optimize.errors import OptimizeError
from optimize.session import ServedModel
from optimize.verify.compare import row_errors
from serve.errors import PenstockError
from serve.repository.golden import difference, read_golden
from serve.repository.manifest import check_files, read_manifest
from serve.tensors import Array

__all__ = ["moved_by_neighbours", "replay_package"]


def replay_package(folder: Path) -> None:
    """Hold a version's files and answers against its manifest.

    Raises:
        OptimizeError: they are not what the manifest says.
    """
    try:
        manifest = read_manifest(folder)
        assert manifest is not None and manifest.golden is not None
        check_files(folder, manifest, contents=True)
        inputs, outputs = read_golden(folder / manifest.golden.path)
        threads = manifest.session.intra_op_threads or 1
        level = manifest.session.graph_optimization or "all"
        path = served_file(folder)
        assert path is not None
        with ServedModel(path, threads, level, manifest.tokenizer) as model:
            rows = len(next(iter(inputs.values())))
            got = model.answer(inputs, batch_rows=rows)
            first = model.answer({name: array[:1] for name, array in inputs.items()})
    except PenstockError as error:
        raise _wrong(str(error)) from error
    for name, wanted in outputs.items():
        golden = manifest.golden
        # As the server will ask them: all together, and the first alone.
        text = difference(got[name], wanted, golden.allowed(True), golden.rtol)
        text = text or difference(first[name], wanted[:1], golden.allowed(False), golden.rtol)
        if text:
            raise _wrong(f"output {name!r} {text}")


def moved_by_neighbours(alone: Mapping[str, Array], together: Mapping[str, Array]) -> float:
    """The largest difference between answers to rows one by one and in one batch."""
    moved = 0.0
    for name, array in together.items():
        if array.dtype.kind == "f":
            error = row_errors(alone[name], array)
            moved = max(moved, float(np.max(error[np.isfinite(error)], initial=0.0)))
    return moved


def _wrong(problem: str) -> OptimizeError:
    return OptimizeError(
        step="package",
        problem=f"loaded back, the package is not what was verified: {problem}",
        remedy="run again; if it stays so, the graph is not deterministic and cannot be packaged",
    )
