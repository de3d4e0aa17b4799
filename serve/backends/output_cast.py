"""From what ``predict`` returned for an output to an array of the declared datatype."""

from __future__ import annotations

from typing import Any

import numpy as np

from serve.errors import BackendError
from serve.tensors import DATATYPES, Array, TensorSpec

__all__ = ["cast_output"]


def cast_output(spec: TensorSpec, value: Any) -> Array:
    """``value`` as an array of the datatype of ``spec``.

    Floating point becomes any floating point that holds its size (float64, numpy's default, to
    FP32: digits are lost, magnitude is not), integers any integer type that holds their values,
    and integers and booleans floating point. Nothing else is converted.

    Raises:
        BackendError: it is not an array, or conversion would change it; names the output.
    """
    if spec.datatype == "BYTES":
        return _strings(spec, value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise BackendError(f"output {spec.name!r} is not an array: {str(error)[:200]}") from error
    dtype = DATATYPES[spec.datatype].dtype
    if array.dtype == dtype:
        return array
    if array.size and not _convertible(array.dtype, dtype):
        raise BackendError(
            f"output {spec.name!r} has dtype {array.dtype}, which does not convert to the declared"
            f" {spec.datatype} without loss"
        )
    if dtype.kind in "iu" and array.dtype.kind in "iu":
        _check_integers(spec, array)
    try:
        with np.errstate(over="raise", invalid="ignore", under="ignore"):
            return array.astype(dtype)
    except FloatingPointError as error:
        raise BackendError(
            f"output {spec.name!r} has a value too large for its datatype {spec.datatype}"
        ) from error


def _convertible(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    floating = DATATYPES["BF16"].dtype
    if target.kind == "f" or target == floating:
        return source.kind in "biuf" or source == floating
    if target.kind in "iu":
        return source.kind in "biu"
    return False


def _check_integers(spec: TensorSpec, array: Array) -> None:
    limits = np.iinfo(DATATYPES[spec.datatype].dtype)
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        raise BackendError(
            f"output {spec.name!r} has a value outside the range of its datatype {spec.datatype}"
        )


def _strings(spec: TensorSpec, value: Any) -> Array:
    # A fixed-width numpy string type would cut trailing NULs off, so lists go to objects at once.
    array = value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype != object:
        raise BackendError(f"output {spec.name!r} has dtype {array.dtype}, but is declared BYTES")
    for item in array.ravel().tolist():
        if not isinstance(item, bytes | str):
            raise BackendError(
                f"output {spec.name!r} is declared BYTES, but has a {type(item).__name__} in it"
            )
    return array
