"""Rows of a model's evaluation data, as tensors.

* ``.csv``: a header with a column for each input of one value a row; an empty cell is a gap (NaN
  in numbers, the empty text in strings). An input of several values a row takes the columns
  ``NAME_0``, ``NAME_1``, …
* ``.npz``: an array [rows, …] for each input.
* ``.jsonl``: an object a line with a value, or nested lists of them, for each input.

A gap is null in JSON; in binary it is NaN, which a model that takes a range of numbers may refuse.
Other columns, the label for one, are left alone. Inputs that the file does not have are left out of
the requests.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.inputs.signature import Array, Signature, TensorSpec, numpy_dtype

__all__ = ["DataError", "read"]


class DataError(ValueError):
    """A file of inputs cannot be used; says why, and what to do."""


def read(file: Path, signature: Signature) -> dict[str, Array]:
    """All rows of a file, an array [rows, …] for each input that it has.

    Raises:
        DataError: it has none of the model's inputs, or they do not fit.
    """
    readers = {".csv": _read_csv, ".npz": _read_npz, ".jsonl": _read_jsonl}
    if file.suffix not in readers:
        raise DataError(f"{file}: evaluation data is one of {', '.join(readers)}")
    try:
        found = readers[file.suffix](file, signature)
        tensors = {
            spec.name: _shaped(spec, found[spec.name])
            for spec in signature.inputs
            if spec.name in found
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file}: {error}") from error
    if not tensors:
        names = ", ".join(spec.name for spec in signature.inputs)
        raise DataError(f"{file} has none of the inputs of {signature.name}: {names}")
    if len(lengths := {len(array) for array in tensors.values()}) != 1 or lengths == {0}:
        raise DataError(f"{file}: inputs need one row or more, and as many as each other")
    return tensors


def _shaped(spec: TensorSpec, values: Any) -> Array:
    """Rows of the shape that the signature asks for."""
    dtype = numpy_dtype(spec.datatype)
    array = np.asarray(values)
    array = array.astype(object if dtype == np.object_ else dtype)
    return array.reshape([len(array), *spec.shape[1:]])


def _read_csv(file: Path, signature: Signature) -> dict[str, Any]:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if not rows:
        raise ValueError("it has no rows")
    found: dict[str, Any] = {}
    for spec in signature.inputs:
        columns = [spec.name] if spec.name in rows[0] else _numbered(spec.name, rows[0])
        if columns:
            gap = "" if spec.datatype == "BYTES" else "nan"
            cells = [[row[column] or gap for column in columns] for row in rows]
            found[spec.name] = cells if spec.datatype == "BYTES" else np.array(cells, float)
    return found


def _numbered(name: str, row: dict[str, str]) -> list[str]:
    columns: list[str] = []
    while (column := f"{name}_{len(columns)}") in row:
        columns.append(column)
    return columns


def _read_npz(file: Path, signature: Signature) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as arrays:
        return {spec.name: arrays[spec.name] for spec in signature.inputs if spec.name in arrays}


def _read_jsonl(file: Path, signature: Signature) -> dict[str, Any]:
    rows = [orjson.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
    if not rows:
        raise ValueError("it has no rows")
    return {
        spec.name: [row[spec.name] for row in rows]
        for spec in signature.inputs
        if spec.name in rows[0]
    }
