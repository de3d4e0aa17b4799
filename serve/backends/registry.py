"""From a backend's name to the backend, importing its runtime only then."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from serve.backends.base import Backend
from serve.errors import RepositoryError

__all__ = ["ARTEFACTS", "backend_for_artefact", "create_backend"]

ARTEFACTS: Mapping[str, str] = {
    "model.onnx": "onnxruntime",
    "model.pt2": "torch",
    "model.py": "python",
}
"""The file of a version folder that is served, and the backend that serves it."""

_CLASSES: Mapping[str, tuple[str, str]] = {
    "onnxruntime": ("serve.backends.ort", "OnnxRuntimeBackend"),
    "python": ("serve.backends.python_model", "PythonBackend"),
    "torch": ("serve.backends.torch_aoti", "TorchBackend"),
}

_INSTALL: Mapping[str, str] = {
    "onnxruntime": "pip install 'penstock[cpu]', or 'penstock[gpu]' for NVIDIA GPUs; never both",
    "torch": "pip install 'penstock[torch]', with the version of torch that compiled the model",
}


def create_backend(name: str) -> Backend:
    """A new, unloaded backend.

    Raises:
        RepositoryError: no backend has this name, or its runtime is not installed.
    """
    if name not in _CLASSES:
        raise RepositoryError(
            path="model.yaml",
            field="backend",
            problem=f"there is no backend named {name[:80]!r}",
            remedy=f"use one of: {', '.join(sorted(_CLASSES))}",
        )
    module_name, class_name = _CLASSES[name]
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise RepositoryError(
            path="model.yaml",
            field="backend",
            problem=f"the runtime of backend {name!r} cannot be imported: {error}",
            remedy=_INSTALL.get(name, "reinstall penstock"),
        ) from error
    backend: Backend = getattr(module, class_name)()
    return backend


def backend_for_artefact(path: Path) -> str:
    """The backend that serves a file, by the file's name.

    Raises:
        RepositoryError: no backend serves a file of this name.
    """
    try:
        return ARTEFACTS[path.name]
    except KeyError:
        raise RepositoryError(
            path=str(path),
            problem="no backend serves a file of this name",
            remedy=f"name it one of: {', '.join(sorted(ARTEFACTS))}",
        ) from None
