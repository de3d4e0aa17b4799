"""Which file of a version folder is served, and by which backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from serve.errors import RepositoryError
from serve.repository.files import shown

__all__ = ["ARTEFACT_NAMES", "find_artefact"]

ARTEFACT_NAMES: Mapping[str, str] = {
    "onnxruntime": "model.onnx",
    "python": "model.py",
    "torch": "model.pt2",
}
"""Backend to the file it serves, unless ``default_model_filename`` names another."""

BACKEND_OF_SUFFIX: Mapping[str, str] = {
    ".onnx": "onnxruntime",
    ".pt2": "torch",
    ".py": "python",
}

FOREIGN: Mapping[str, str] = {
    "model.pt": "TorchScript",
    "model.plan": "TensorRT",
    "model.savedmodel": "TensorFlow",
    "model.graphdef": "TensorFlow",
    "model.xml": "OpenVINO",
}


def find_artefact(folder: Path, backend: str | None, file_name: str = "") -> tuple[Path, str]:
    """The artefact in a version's folder and its backend.

    Args:
        backend: The one the settings ask for; None: decided by what is there.
        file_name: The file the settings ask for, "" for the backend's usual one.

    Raises:
        RepositoryError: it is missing, ambiguous, or for a backend that is not there.
    """
    if file_name:
        return _named(folder, backend, file_name)
    wanted = ARTEFACT_NAMES if backend is None else {backend: ARTEFACT_NAMES[backend]}
    found = {kind: folder / name for kind, name in wanted.items() if _exists(folder / name)}
    if len(found) > 1:
        raise RepositoryError(
            path=str(folder),
            problem=f"has {' and '.join(path.name for path in found.values())}",
            remedy=f"keep one, or say which with `backend: {' | '.join(found)}`",
        )
    for kind, path in found.items():
        return _file(path), kind
    raise _missing(folder, _either(wanted.values()))


def _named(folder: Path, backend: str | None, file_name: str) -> tuple[Path, str]:
    kind = backend or BACKEND_OF_SUFFIX.get(Path(file_name).suffix)
    if kind is None:
        raise RepositoryError(
            path=str(folder / file_name),
            problem="its name does not tell which backend serves it",
            remedy="set `backend`, or name the file *.onnx, *.pt2 or *.py",
        )
    if not _exists(folder / file_name):
        raise _missing(folder, file_name)
    return _file(folder / file_name), kind


def _exists(path: Path) -> bool:
    # A link to nowhere is there, and is told apart from a file that is not.
    return path.exists() or path.is_symlink()


def _file(path: Path) -> Path:
    """The file itself: Triton also allows a folder of its name, for models in several files."""
    inner = path / path.name
    if path.is_dir() and inner.is_file():
        return inner
    if not path.is_file():
        problem = "is a link to nowhere" if path.is_symlink() and not path.exists() else "no file"
        raise RepositoryError(
            path=str(path), problem=problem, remedy="put the model's file in its place"
        )
    return path


def _either(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _missing(folder: Path, expected: str) -> RepositoryError:
    for name, runtime in FOREIGN.items():
        if _exists(folder / name):
            return RepositoryError(
                path=str(folder / name),
                problem=f"there is no {runtime} backend to serve it",
                remedy="export the model to ONNX as model.onnx, or wrap it in a model.py",
            )
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    has = f"has {', '.join(map(shown, others[:5]))}" if others else "is empty"
    return RepositoryError(
        path=str(folder),
        problem=f"{has}, but no {expected}",
        remedy=f"add {expected}, or remove the folder",
    )
