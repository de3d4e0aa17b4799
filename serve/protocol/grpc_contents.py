"""Typed tensor contents (``InferTensorContents``): one repeated field for each family of types."""

from __future__ import annotations

from typing import Any

import numpy as np

from serve.errors import InvalidRequest
from serve.protocol.binary_data import unknown_datatype
from serve.protocol.grpc_wire import varint
from serve.protocol.quoting import quoted
from serve.protocol.shape import check_shape, show_shape
from serve.tensors import DATATYPES, Array

__all__ = ["array_from_contents"]

_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_PACKED_ALIKE = frozenset({"BOOL", "FP32", "FP64"})
"""Datatypes whose packed field holds the very bytes of the array."""

_NARROW = {"INT8": np.int32, "INT16": np.int32, "UINT8": np.uint32, "UINT16": np.uint32}
"""Datatypes that travel in a wider one, which may hold what they cannot."""


def array_from_contents(
    name: str, datatype: str, shape: tuple[int, ...], contents: Any | None
) -> Array:
    """The tensor in an ``InferTensorContents`` message; None stands for an empty message.

    Raises:
        InvalidRequest: unknown datatype, bad shape, a field that is not the datatype's, or
            elements that are not exactly those of the shape and type.
    """
    if datatype not in DATATYPES:
        raise InvalidRequest(f"{quoted(name)}: {unknown_datatype(datatype)}")
    field = _FIELDS.get(datatype)
    if field is None:
        raise InvalidRequest(
            f"{quoted(name)}: {datatype} has no typed contents, send it in raw_input_contents"
        )
    count = check_shape(name, shape)
    for used, _ in contents.ListFields() if contents is not None else ():
        if used.name != field:
            raise InvalidRequest(
                f"{quoted(name)}: {datatype} belongs in contents.{field}, not in {used.name}"
            )
    elements = getattr(contents, field) if contents is not None else ()
    if len(elements) != count:
        raise InvalidRequest(
            f"{quoted(name)}: shape {show_shape(shape)} needs {count} elements, "
            f"contents.{field} has {len(elements)}"
        )
    return _array(name, datatype, contents, elements).reshape(shape)


def _array(name: str, datatype: str, contents: Any, elements: Any) -> Array:
    count = len(elements)
    dtype = DATATYPES[datatype].dtype
    if datatype == "BYTES":
        array: Array = np.empty(count, dtype)
        array[:] = list(elements)
        return array
    if datatype in _PACKED_ALIKE and count:
        # Its serialised form is a tag, a length and the array: no Python object an element.
        contents.DiscardUnknownFields()
        offset = 1 + len(varint(count * dtype.itemsize))
        return np.frombuffer(contents.SerializeToString(), dtype, count, offset)
    wide = _NARROW.get(datatype)
    if wide is None:
        return np.fromiter(elements, dtype, count)
    array = np.fromiter(elements, wide, count)
    limits = np.iinfo(dtype)
    if count and (array.min() < limits.min or array.max() > limits.max):
        raise InvalidRequest(
            f"{quoted(name)}: an element does not fit in {datatype}, "
            f"which holds {limits.min} to {limits.max}"
        )
    return array.astype(dtype)
