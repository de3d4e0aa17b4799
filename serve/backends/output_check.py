"""The one look at what a backend returned, once per batch, before it is cut into answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serve.errors import BackendError
from serve.tensors import DATATYPES, Array, Signature, TensorSpec

__all__ = ["check_outputs"]


def check_outputs(signature: Signature, outputs: Sequence[Array], rows: int) -> list[Array]:
    """The outputs, if they are what the signature says; costs about a microsecond an output.

    Raises:
        BackendError: a wrong number of outputs, or one of a wrong type, shape or row count.
    """
    specs = signature.outputs
    if len(outputs) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise BackendError(
            f"the model returned {len(outputs)} outputs in place of {len(specs)} ({names})"
        )
    batched = signature.batched
    return [
        _checked(spec, array, rows if batched else -1)
        for spec, array in zip(specs, outputs, strict=True)
    ]


def _checked(spec: TensorSpec, array: Array, rows: int) -> Array:
    if (
        type(array) is np.ndarray
        and array.dtype == DATATYPES[spec.datatype].dtype
        and rows >= 0
        and array.shape == (rows, *spec.shape[1:])
    ):
        return array  # as nearly all are; the rest says what is wrong, or variable
    if not isinstance(array, np.ndarray):
        raise BackendError(f"output {spec.name!r} is a {type(array).__name__}, not an array")
    if array.dtype != DATATYPES[spec.datatype].dtype:
        if spec.datatype != "BYTES" or array.dtype.kind not in "US":
            raise BackendError(
                f"output {spec.name!r} has dtype {array.dtype}, but the model's signature says"
                f" {spec.datatype}"
            )
        array = array.astype(object)
    shape = array.shape
    expected = spec.shape
    if len(shape) != len(expected):
        raise BackendError(
            f"output {spec.name!r} has shape {list(shape)}, but the model's signature says"
            f" {list(expected)}"
        )
    if rows >= 0 and shape[0] != rows:
        raise BackendError(f"output {spec.name!r} has {shape[0]} rows for a batch of {rows} rows")
    for actual, wanted in zip(shape, expected, strict=True):
        if wanted not in (-1, actual):
            raise BackendError(
                f"output {spec.name!r} has shape {list(shape)}, but the model's signature says"
                f" {list(expected)}"
            )
    return array
