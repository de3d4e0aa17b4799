"""A model out of MLflow's registry: exported, asked beside its graph, and given golden samples.

What it is asked with are the rows of its ``input_example``, else rows made from its signature.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from optimize.errors import OptimizeError
from optimize.rows import Input, decode
from optimize.session import ServedModel
from optimize.source.network import as_network, is_module
from optimize.steps.base import MODEL
from optimize.tasks import export_model
from serve.repository.golden import write_golden
from serve.tensors import Array

__all__ = ["Example", "example_of", "export_registered"]

ROWS = 16
ATOL, RTOL = 1e-4, 1e-3
"""How far the graph may answer from the original; what is compared are floats."""
VARYING = 7
"""Size in the example of a dimension that is no batch and that the signature leaves open."""
FLAVOURS = ("sklearn", "lightgbm", "xgboost", "pytorch")
NUMBERS = ("double", "float", "integer", "long", "boolean")
AGAIN = "log it again with an input_example of real rows"


@dataclass(frozen=True)
class Example:
    """Rows as the model takes them; ``variable`` has the open dimensions beside the batch."""

    features: Any
    variable: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def export_registered(folder: Path, flavour: str, output: Path) -> None:
    """Export the MLflow model in ``folder``: graph, ``signature.json`` and ``golden.npz``.

    Raises:
        OptimizeError: it cannot be loaded or exported, or its graph answers otherwise.
    """
    model = _load(folder, flavour)
    example = example_of(folder, model)
    features = example.features
    module = type(model).__module__.partition(".")[0]
    if module in ("lightgbm", "xgboost") and not hasattr(model, "predict_proba"):
        features = _matrix(features)  # a booster takes one, whatever it was trained on
    model = as_network(_by_name(model), folder, (), example.variable)
    export_model(model, features, output)
    if not (output / MODEL).is_file():
        details = json.loads((output / "export.json").read_text())
        raise OptimizeError(
            step="export",
            problem=f"ONNX cannot express it: {details.get('no_onnx', 'no graph was made')}",
            remedy="compile it with `penstock optimize`, and push the version",
        )
    _compare(model, features, output)


def _load(folder: Path, flavour: str) -> Any:
    if flavour not in FLAVOURS:
        raise OptimizeError(
            step="load", problem=f"there is no export of {flavour}", remedy="register it as ONNX"
        )
    try:
        loader = importlib.import_module(f"mlflow.{flavour}")
        return loader.load_model(str(folder))
    except ModuleNotFoundError as error:
        extra = "optimize,torch" if flavour == "pytorch" else "optimize"
        raise OptimizeError(
            step="load",
            problem=f"{error.name} is not installed",
            remedy=f"install it; pip install 'penstock[{extra},mlflow]' brings what exports need,"
            " the model's own code and libraries come from its requirements.txt",
        ) from error
    except Exception as error:
        raise OptimizeError(
            step="load",
            problem=f"mlflow.{flavour} cannot load it: {type(error).__name__}:"
            f" {' '.join(str(error).split())[:300]}",
            remedy="install the versions in its requirements.txt, or register it as ONNX",
        ) from error


def example_of(folder: Path, model: Any) -> Example:
    """Rows to ask a model with, by what is saved with it.

    Raises:
        OptimizeError: nothing tells what it takes.
    """
    document = yaml.safe_load((folder / "MLmodel").read_text())
    signature = json.loads((document.get("signature") or {}).get("inputs") or "[]")
    variable = _variable(signature)
    if document.get("saved_input_example_info"):
        from mlflow.models import Model

        saved = Model.load(str(folder)).load_input_example(str(folder))
        return Example(_grown(saved), variable)
    rng = np.random.default_rng(0)
    if signature and all(each["type"] == "tensor" for each in signature):
        made = {
            each.get("name") or "input": _tensor(each["tensor-spec"], rng) for each in signature
        }
        return Example(made if signature[0].get("name") else made["input"], variable)
    if signature:
        return Example(_table(signature, rng))
    inner = getattr(model, "_Booster", model)
    names = getattr(inner, "feature_names_in_", None)
    count = next(
        (
            value() if callable(value) else value
            for value in (
                getattr(inner, name, None)
                for name in ("n_features_in_", "num_feature", "num_features")
            )
            if value is not None
        ),
        None,
    )
    if count is None:
        raise OptimizeError(
            step="load", problem="it has neither signature nor input_example", remedy=AGAIN
        )
    rows = rng.normal(size=(ROWS, count)).astype(np.float32)
    if names is None:
        return Example(rows)
    import pandas

    return Example(pandas.DataFrame(rows, columns=list(names)))


def _by_name(model: Any) -> Any:
    """A module that takes its arguments by name; one that was loaded as a program does not."""
    if not is_module(model):
        return model
    import torch

    if not isinstance(model, torch.fx.GraphModule):
        return model
    parameters = list(inspect.signature(model.forward).parameters.values())
    names = [each.name for each in parameters]

    class ByName(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.program = model

        def forward(self, **arguments: Any) -> Any:
            return self.program(*(arguments[name] for name in names))

        forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *parameters]
        )

    return ByName()


def _variable(signature: list[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    return {
        each["name"]: places
        for each in signature
        if each.get("name") and "tensor-spec" in each
        for places in [
            tuple(n for n, size in enumerate(each["tensor-spec"]["shape"]) if n and size < 0)
        ]
        if places
    }


def _tensor(spec: dict[str, Any], rng: np.random.Generator) -> Array:
    """Normal numbers, or zeros and ones, which any table of embeddings has."""
    sizes = [VARYING if size < 0 else size for size in spec["shape"][1:]]
    dtype = np.dtype(spec["dtype"])
    if dtype.kind == "f":
        return rng.normal(size=(ROWS, *sizes)).astype(dtype)
    if dtype.kind in "iub":
        return rng.integers(0, 2, size=(ROWS, *sizes)).astype(dtype)
    raise OptimizeError(
        step="load", problem=f"nothing tells what its {dtype} inputs hold", remedy=AGAIN
    )


def _table(signature: list[dict[str, Any]], rng: np.random.Generator) -> Any:
    import pandas

    columns: dict[str, Any] = {}
    for each in signature:
        if each["type"] not in NUMBERS:
            raise OptimizeError(
                step="load",
                problem=f"nothing tells what its column {each['name']!r} of {each['type']} holds",
                remedy=AGAIN,
            )
        whole = each["type"] in ("integer", "long", "boolean")
        columns[each["name"]] = (
            rng.integers(0, 2, ROWS) if whole else rng.normal(size=ROWS).astype(np.float32)
        )
    return pandas.DataFrame(columns)


def _grown(example: Any) -> Any:
    """The same rows again and again, up to ``ROWS``, so that there is a batch."""
    if isinstance(example, Mapping):
        return {name: _grown(np.asarray(array)) for name, array in example.items()}
    if not hasattr(example, "iloc"):
        array = np.asarray(example)
        return array[np.arange(max(ROWS, len(array))) % len(array)]
    index = np.arange(max(ROWS, len(example))) % len(example)
    return example.iloc[index].reset_index(drop=True)


def _matrix(features: Any) -> Array:
    if isinstance(features, Mapping):
        return np.concatenate([np.asarray(v, np.float32) for v in features.values()], axis=1)
    if hasattr(features, "to_numpy"):
        features = features.to_numpy()
    matrix: Array = np.asarray(features, np.float32)
    return matrix


def _compare(model: Any, features: Any, output: Path) -> None:
    """Ask the original and its graph the same, and keep what the graph said."""
    from optimize.source.original import Original
    from optimize.source.reference import shaped
    from optimize.source.table import inputs_of, rows_of

    inputs = inputs_of(model, features)
    rows = rows_of(features, inputs)
    arrays = decode(rows, inputs)
    with ServedModel(output / MODEL) as served:
        outputs = served.signature.outputs
        answers = served.answer(arrays, batch_rows=len(rows))
        shapes = {spec.name: spec.shape for spec in outputs}
    try:
        expected = shaped(Original(model, inputs, features).answer(rows), shapes, len(rows))
    except Exception as error:
        raise OptimizeError(
            step="compare",
            problem=f"it does not answer rows of its signature: {type(error).__name__}:"
            f" {' '.join(str(error).split())[:300]}",
            remedy=AGAIN,
        ) from error
    for name, answer in answers.items():
        if answer.dtype.kind == "f" and not np.allclose(
            answer, expected[name].astype(np.float64), RTOL, ATOL, equal_nan=True
        ):
            worst = float(np.nanmax(np.abs(answer - expected[name].astype(np.float64))))
            raise OptimizeError(
                step="compare",
                problem=f"its graph answers otherwise: {name!r} by up to {worst:.3g}",
                remedy="export it where it is trained, and register the graph",
            )
    write_golden(output / "golden.npz", arrays, answers)
    _write_signature(output, inputs, outputs)


def _write_signature(output: Path, inputs: tuple[Input, ...], outputs: Any) -> None:
    document = {
        "inputs": [spec.as_json() for spec in inputs],
        "outputs": [
            {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
            for spec in outputs
        ],
    }
    (output / "signature.json").write_text(json.dumps(document))
