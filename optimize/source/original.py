"""The trained model as it is, asked for what its graph will be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optimize.errors import OptimizeError
from optimize.rows import Input, Rows, decode
from optimize.source.network import Network
from optimize.source.table import table_of
from serve.tensors import Array

__all__ = ["Original", "classes_of", "own_graph"]


class Original:
    """Answers rows with the trained model's own library.

    A mapping brings ``predict``, a function of the table that returns outputs by name; ONNX bytes
    have no other library, and answer through the runtime with every graph optimisation off.
    """

    def __init__(self, model: Any, inputs: Sequence[Input], like: Any) -> None:
        self._model = model
        self._inputs = tuple(inputs)
        self._like = like
        self._session: Any = None

    def answer(self, rows: Rows) -> dict[str, Array]:
        """The outputs by name, each with a row for every row."""
        if isinstance(self._model, bytes):
            return self._run_graph(rows)
        if isinstance(self._model, Network):
            return self._model.answer(decode(rows, self._inputs))
        return self.answer_table(table_of(rows, self._inputs, self._like))

    def answer_table(self, table: Any) -> dict[str, Array]:
        """The same, of rows that are in the original's own form already."""
        model = self._model
        if isinstance(model, Mapping):
            return {name: np.asarray(value) for name, value in model["predict"](table).items()}
        module = type(model).__module__.partition(".")[0]
        if module in ("lightgbm", "xgboost") and hasattr(model, "feature_name"):
            return _of_scores(np.asarray(model.predict(_matrix(table))))
        if module == "xgboost" and hasattr(model, "inplace_predict"):
            return _of_scores(np.asarray(model.inplace_predict(_matrix(table))))
        if hasattr(model, "predict_proba"):
            probabilities = np.asarray(model.predict_proba(table), np.float64)
            labels = np.asarray(model.classes_)[probabilities.argmax(axis=1)]
            return {"label": labels, "probabilities": probabilities}
        return {"prediction": np.asarray(model.predict(table), np.float64).reshape(len(table), -1)}

    def _run_graph(self, rows: Rows) -> dict[str, Array]:
        import onnxruntime

        if self._session is None:
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            self._session = onnxruntime.InferenceSession(
                self._model, options, providers=["CPUExecutionProvider"]
            )
        names = [output.name for output in self._session.get_outputs()]
        feed = {
            name: np.array([item.decode() for item in array.ravel()], object).reshape(array.shape)
            if array.dtype == object
            else array
            for name, array in decode(rows, self._inputs).items()
        }
        return dict(zip(names, self._session.run(names, feed), strict=True))


def own_graph(model: Any) -> bytes | None:
    """The ONNX graph that came with the model, if one did."""
    if isinstance(model, bytes):
        return model
    if isinstance(model, Mapping):
        graph = model.get("onnx")
        if not isinstance(graph, bytes) or not callable(model.get("predict")):
            raise OptimizeError(
                step="source",
                problem="the mapping has no `onnx` bytes or no `predict` function",
                remedy="return both, or the fitted model itself",
            )
        return graph
    return None


def classes_of(model: Any) -> list[Any] | None:
    """The classes in the order of the probabilities, where the model knows them."""
    if isinstance(model, Mapping):
        classes = model.get("classes")
    else:
        classes = getattr(model, "classes_", None)
    return (
        None
        if classes is None
        else [item.item() if hasattr(item, "item") else item for item in classes]
    )


def _matrix(table: Any) -> Any:
    """The one matrix that a booster takes."""
    if isinstance(table, Mapping):
        (matrix,) = table.values()
        return matrix
    return table if isinstance(table, np.ndarray) else table.to_numpy(np.float32)


def _of_scores(scores: Array) -> dict[str, Array]:
    """A booster's scores as its converted graph names them.

    A booster does not tell a probability from a value: which it is, its graph says, and the
    outputs that a graph lacks are not compared.
    """
    scores = scores.astype(np.float64)
    if scores.ndim == 2:
        return {"label": scores.argmax(axis=1), "probabilities": scores, "prediction": scores}
    return {
        "label": (scores > 0.5).astype(np.int64),
        "probabilities": np.stack([1 - scores, scores], axis=1),
        "prediction": scores[:, None],
    }
