"""MLflow's ``MLmodel`` file: how a registered model was saved, read and written without MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from serve.registry.client import Package, problem_with
from serve.repository.files import read_text, shown
from serve.repository.yaml_text import load_yaml

__all__ = ["CONVERTED", "MLMODEL", "OF_MLFLOW", "PACKAGE", "flavour_of", "write_mlmodel"]

MLMODEL = "MLmodel"
PACKAGE = "penstock"
"""The flavour of what `penstock optimize` packages: the folder of a version, as it is."""

CONVERTED = ("sklearn", "lightgbm", "xgboost", "pytorch")
"""Flavours that are exported to ONNX, in a process of their own."""

OF_MLFLOW = frozenset(
    {
        MLMODEL,
        "conda.yaml",
        "constraints.txt",
        "input_example.json",
        "python_env.yaml",
        "registered_model_meta",
        "requirements.txt",
        "serving_input_example.json",
    }
)
"""Files that MLflow puts beside a model, for its own servers."""


def flavour_of(folder: Path, what: str) -> tuple[str, Mapping[str, Any]]:
    """The flavour by which the files in ``folder`` become a version, and its settings.

    Raises:
        RepositoryError: they are no MLflow model, or none of a flavour that can be served.
    """
    path = folder / MLMODEL
    if not path.is_file():
        raise problem_with(
            what, f"its files have no {MLMODEL}", "register it with mlflow.<flavour>.log_model"
        )
    try:
        flavours = load_yaml(read_text(path))["flavors"]
        found = {name: dict(settings or {}) for name, settings in flavours.items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError, ValueError) as error:
        raise problem_with(
            what, f"its {MLMODEL} cannot be read: {type(error).__name__}", "register it again"
        ) from error
    for name in (PACKAGE, "onnx", *CONVERTED):
        if name in found:
            return name, found[name]
    raise problem_with(
        what,
        f"its flavours are {', '.join(map(shown, sorted(found))) or 'none'}",
        f"register it as one of onnx, {', '.join(CONVERTED)}; or wrap it in a model.py by hand",
    )


def write_mlmodel(package: Package, run_id: str, put: Callable[[Path], None]) -> None:
    """Make the file of a package, and hand its path to ``put``.

    An ONNX graph is of MLflow's own flavours too, so that its tools load it.
    """
    flavours: dict[str, Any] = {PACKAGE: {"artefact": package.artefact}}
    if package.artefact.endswith(".onnx"):
        flavours["onnx"] = {"data": package.artefact, "code": None, "onnx_version": None}
        flavours["python_function"] = {"loader_module": "mlflow.onnx", "data": package.artefact}
    document = {"flavors": flavours, "run_id": run_id, "artifact_path": "model"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, MLMODEL)
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        put(path)
