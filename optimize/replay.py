"""A package loaded back as the server will load it, in a process that never saw its training."""

from __future__ import annotations

from pathlib import Path

from optimize.artefact import served_file
from optimize.errors import OptimizeError
from optimize.session import ServedModel
from serve.errors import PenstockError
from serve.repository.golden import difference, read_golden
from serve.repository.manifest import check_files, read_manifest

__all__ = ["replay_package"]


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
            got = model.answer(inputs)
    except PenstockError as error:
        raise _wrong(str(error)) from error
    for name, wanted in outputs.items():
        text = difference(got[name], wanted, manifest.golden.atol, manifest.golden.rtol)
        if text:
            raise _wrong(f"output {name!r} {text}")


def _wrong(problem: str) -> OptimizeError:
    return OptimizeError(
        step="package",
        problem=f"loaded back, the package is not what was verified: {problem}",
        remedy="run again; if it stays so, the graph is not deterministic and cannot be packaged",
    )
