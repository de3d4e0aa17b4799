"""Between the table that a model was trained on and the rows that a server decodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optimize.rows import Input, Mask, Rows
from optimize.source.missing import missing_string
from optimize.source.network import Network
from serve.tensors import Array

__all__ = ["inputs_of", "rows_of", "table_of"]

MATRIX = "input"
"""Name of the one input of a model that was trained on an array."""


def inputs_of(model: Any, features: Any) -> tuple[Input, ...]:
    """The served inputs: one of shape [-1, 1] for each column of a table, or one matrix.

    Numbers are FP32, in which NaN is the gap; everything else is a string.
    """
    if isinstance(model, Network):
        return model.inputs(features)
    if isinstance(features, np.ndarray):
        return (Input(MATRIX, "FP32", (-1, *features.shape[1:]), float("nan")),)
    if isinstance(features, Mapping):
        return tuple(
            Input(name, "FP32", (-1, *np.asarray(array).shape[1:]), float("nan"))
            for name, array in features.items()
        )
    inputs = []
    for name in features.columns:
        if _is_number(features[name]):
            inputs.append(Input(str(name), "FP32", (-1, 1), float("nan"), np.nan))
        else:
            missing, gap = missing_string(model, name)
            inputs.append(Input(str(name), "BYTES", (-1, 1), missing, gap))
    return tuple(inputs)


def rows_of(features: Any, inputs: Sequence[Input]) -> Rows:
    """The rows as a client would send them: a NaN or None of the table is null."""
    arrays: dict[str, Array] = {}
    missing: dict[str, Mask] = {}
    for spec in inputs:
        if isinstance(features, np.ndarray):
            column: Any = features
        else:
            column = np.asarray(features[spec.name])
        shape = (len(column), *(size if size >= 0 else -1 for size in spec.shape[1:]))
        if spec.datatype == "BYTES":
            flat = np.asarray(column, object).ravel()
            gaps = np.array([item is None or item != item for item in flat], np.bool_)
            text = np.empty(len(flat), object)
            text[:] = [
                b"" if gap else item if isinstance(item, bytes) else str(item).encode()
                for item, gap in zip(flat, gaps, strict=True)
            ]
            arrays[spec.name] = text.reshape(shape)
        else:
            kind = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}
            values = np.asarray(column).astype(kind.get(spec.datatype, column.dtype))
            arrays[spec.name] = values.reshape(shape)
            gaps = np.isnan(values.ravel()) if values.dtype.kind == "f" else np.zeros(0, np.bool_)
        if gaps.any():
            missing[spec.name] = gaps.reshape(arrays[spec.name].shape)
    return Rows(arrays, missing)


def table_of(rows: Rows, inputs: Sequence[Input], like: Any) -> Any:
    """The rows as the original takes them; ``like`` is the table that it was given.

    Numbers are those that an FP32 can hold, because no others reach a server.
    """
    if isinstance(like, np.ndarray):
        (spec,) = inputs
        return _with_gaps(rows, spec).astype(like.dtype if like.dtype.kind == "f" else np.float64)
    if isinstance(like, Mapping):
        return {
            spec.name: _with_gaps(rows, spec).astype(np.asarray(like[spec.name]).dtype, copy=False)
            for spec in inputs
        }
    import pandas

    columns: dict[str, Any] = {}
    for spec in inputs:
        values = _with_gaps(rows, spec)[:, 0]
        if spec.datatype == "BYTES":
            texts = [item.decode() if isinstance(item, bytes) else item for item in values]
            columns[spec.name] = pandas.Series(texts, dtype=object)
        else:
            kind = like[spec.name].dtype
            columns[spec.name] = values.astype(kind if kind.kind == "f" else np.float64)
    return pandas.DataFrame(columns)


def _with_gaps(rows: Rows, spec: Input) -> Array:
    array = rows.arrays[spec.name]
    mask = rows.missing.get(spec.name)
    if mask is None or not mask.any():
        return array
    array = array.copy()
    array[mask] = spec.gap if spec.datatype == "BYTES" else np.nan
    return array


def _is_number(column: Any) -> bool:
    return getattr(column.dtype, "kind", "O") in "iufb"
