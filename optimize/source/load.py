"""Loading what ``optimize:`` points to: a trained model, rows to judge it by, and metrics.

All of it is the user's own code and files, and is run with the user's rights, as training was.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optimize.errors import OptimizeError
from optimize.source.network import as_network

__all__ = ["function_at", "load_data", "load_features", "load_model", "on_path"]


def on_path(folder: Path) -> None:
    """Let the model's own modules be imported, as its training script could."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def function_at(folder: Path, reference: str, step: str) -> Callable[..., Any]:
    """The function that ``file.py:function`` names.

    Raises:
        OptimizeError: there is no such file or function, or importing the file fails.
    """
    file_name, _, name = reference.partition(":")
    path = folder / file_name
    on_path(path.parent)
    module = sys.modules.get(path.stem)
    if module is None or getattr(module, "__file__", None) != str(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise _wrong(step, f"there is no file {path}", f"name it relative to {folder}")
        module = importlib.util.module_from_spec(spec)
        # By its own name, so that what it defines can be pickled to the next step.
        sys.modules[path.stem] = module
        try:
            spec.loader.exec_module(module)
        except ModuleNotFoundError as error:
            raise _wrong(
                step,
                f"{path} imports {error.name}, which is not installed",
                "install it; torch comes with pip install 'penstock[torch]'",
            ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise _wrong(step, f"{path} has no function {name!r}", "name one as `file.py:function`")
    return function  # type: ignore[no-any-return]


def load_model(
    folder: Path,
    reference: str,
    outputs: Sequence[str] = (),
    variable: Mapping[str, Sequence[int]] | None = None,
) -> Any:
    """The trained model: an estimator, a booster, ONNX bytes, a mapping, or a ``Network``.

    ``outputs`` and ``variable`` are what model.yaml says of a network's tensors.
    """
    if ".py:" in reference:
        made = function_at(folder, reference, "source")()
        return as_network(made, folder, outputs, variable or {})
    path = folder / reference
    if not path.is_file():
        raise _wrong("source", f"there is no file {path}", f"name it relative to {folder}")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return path.read_bytes()
    if suffix == ".txt":
        import lightgbm

        return lightgbm.Booster(model_file=path)
    if suffix in (".json", ".ubj"):
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(path)
        return booster
    if suffix == ".skops":
        import skops.io

        return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    if suffix == ".joblib":
        import joblib

        return joblib.load(path)
    if suffix in (".pkl", ".pickle"):
        return pickle.loads(path.read_bytes())  # noqa: S301 - the user's own model
    raise _wrong("source", f"{path.name} is no known kind of model", "see optimize.source")


def load_data(folder: Path, reference: str, target: str) -> tuple[Any, Any]:
    """Features (a DataFrame, an array or a mapping of arrays) and the target, of equal length."""
    if ".py:" in reference:
        made = function_at(folder, reference, "source")()
        if not isinstance(made, tuple) or len(made) != 2:
            raise _wrong("source", f"{reference} returned no pair", "return features and target")
        return made[0], np.asarray(made[1])
    return _without(_table(folder, reference), target, folder / reference)


def load_features(folder: Path, reference: str) -> Any:
    """Features alone, of a file or of ``file.py:function`` that returns nothing else."""
    if ".py:" in reference:
        made = function_at(folder, reference, "source")()
        if isinstance(made, tuple):
            raise _wrong("source", f"{reference} returned a tuple", "return the features alone")
        return made
    return _table(folder, reference)


def _table(folder: Path, reference: str) -> Any:
    """All columns of a file: a DataFrame, or a mapping of arrays."""
    path = folder / reference
    if not path.is_file():
        raise _wrong("source", f"there is no file {path}", f"name it relative to {folder}")
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    import pandas

    if path.suffix == ".csv":
        # Only an empty field is a gap: words such as "NA" are values of somebody's column.
        return pandas.read_csv(path, keep_default_na=False, na_values=[""])
    if path.suffix == ".parquet":
        return pandas.read_parquet(path)
    raise _wrong("source", f"{path.name} is no known kind of data", "see optimize.data")


def _without(table: Any, target: str, path: Path) -> tuple[Any, Any]:
    if target not in table:
        raise _wrong(
            "source", f"{path} has no column {target!r}", "set optimize.data.target to its name"
        )
    values = np.asarray(table[target])
    if isinstance(table, Mapping):
        return {name: array for name, array in table.items() if name != target}, values
    return table.drop(columns=[target]), values


def _wrong(step: str, problem: str, remedy: str) -> OptimizeError:
    return OptimizeError(step=step, problem=problem, remedy=remedy)
