"""A tensor's JSON ``data`` as an array: flat or nested by the shape, ``null`` where missing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from serve.errors import InvalidRequest
from serve.protocol.quoting import quoted, shown_int
from serve.protocol.shape import check_shape, element_count, show_shape
from serve.tensors import DATATYPES, Array

__all__ = ["array_from_json"]

Mask = npt.NDArray[np.bool_]

_CODES = {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP32": "f",
    "FP64": "d",
}
_UNPACKABLE = (struct.error, OverflowError, TypeError, AttributeError)
"""How ``_pack`` refuses an element, by datatype."""
_NOT_PLAIN = (*_UNPACKABLE, ValueError)

_BINARY_ONLY = ("FP16", "BF16")

_DTYPES = {name: datatype.dtype for name, datatype in DATATYPES.items()}
_BYTES_DTYPE = _DTYPES["BYTES"]


def array_from_json(
    name: str, datatype: str, shape: tuple[int, ...], data: list[Any]
) -> tuple[Array, Mask | None]:
    """The array of an input whose ``data`` was parsed by ``json_message``, and where it is null.

    The array holds zero, or an empty string, where the mask is set; the mask is None if no
    element is null.

    Raises:
        InvalidRequest: not the elements of that shape, or one that the datatype cannot hold.
    """
    if datatype in _CODES:
        try:
            # Refuses lists as well, and any other number of elements than the shape has.
            return np.ndarray(shape, _DTYPES[datatype], _packer(datatype, shape)(*data)), None
        except _NOT_PLAIN:
            pass  # nested, null, or wrong: the slow way tells which
    if datatype in _BINARY_ONLY:
        raise InvalidRequest(
            f"{quoted(name)}: {datatype} has no JSON form, "
            "send it as binary (parameters.binary_data_size)"
        )
    count = check_shape(name, shape)
    if len(data) != count or (count and type(data[0]) is list):
        data = _flatten(name, shape, count, data)
    try:
        return _pack(datatype, shape, data), None
    except _UNPACKABLE:
        return _pack_with_nulls(name, datatype, shape, data)


def _pack_with_nulls(
    name: str, datatype: str, shape: tuple[int, ...], flat: list[Any]
) -> tuple[Array, Mask]:
    """The slow way, for data that holds a null or something that is wrong."""
    nulls = [element is None for element in flat]
    empty: Any = "" if datatype == "BYTES" else False if datatype == "BOOL" else 0
    filled = [empty if element is None else element for element in flat]
    try:
        return _pack(datatype, shape, filled), np.ndarray(shape, np.bool_, bytes(nulls))
    except _UNPACKABLE:
        fault = _find_fault(datatype, shape, filled)
        raise InvalidRequest(f"{quoted(name)}: {fault}") from None


def _pack(datatype: str, shape: tuple[int, ...], flat: list[Any]) -> Array:
    """Elements to array; refuses every element that is not of the datatype, null included.

    ``struct`` does in one call what ``np.array`` does in three times the time: it checks the
    range and rounds FP32. Bools are apart, because it takes any object for a truth value.
    """
    if datatype in _CODES:
        return np.ndarray(shape, _DTYPES[datatype], _packer(datatype, shape)(*flat))
    if datatype == "BOOL":
        return np.ndarray(shape, np.bool_, bytes(flat))
    return np.array([element.encode() for element in flat], _BYTES_DTYPE).reshape(shape)


@lru_cache(maxsize=1024)
def _packer(datatype: str, shape: tuple[int, ...]) -> Callable[..., bytes]:
    """Gives the bytes of as many elements as the shape has."""
    return struct.Struct(f"<{element_count(shape)}{_CODES[datatype]}").pack


def _flatten(name: str, shape: tuple[int, ...], count: int, data: list[Any]) -> list[Any]:
    """The elements of nested data in row-major order, at the depth that the shape says."""
    if not data or type(data[0]) is not list:
        raise InvalidRequest(
            f"{quoted(name)}: shape {show_shape(shape)} needs {count} elements, "
            f"data has {len(data)}"
        )
    level: list[Any] = [data]
    for depth, dim in enumerate(shape, start=1):
        for entry in level:
            if type(entry) is not list:
                raise InvalidRequest(f"{quoted(name)}: {_ragged(shape)}")
            if len(entry) != dim:
                raise InvalidRequest(
                    f"{quoted(name)}: shape {show_shape(shape)} needs {dim} entries in each list "
                    f"at depth {depth} of data, one has {len(entry)}"
                )
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
    return level


def _find_fault(datatype: str, shape: tuple[int, ...], flat: list[Any]) -> str:
    """What is wrong with the first element that cannot be packed, found by halving."""
    start, end = 0, len(flat)
    while end - start > 1:
        middle = (start + end) // 2
        try:
            _pack(datatype, (middle - start,), flat[start:middle])
            start = middle
        except _UNPACKABLE:
            end = middle
    element = flat[start]
    if isinstance(element, list):
        return _ragged(shape)
    if isinstance(element, float) and datatype != "FP32":
        return f"data element {start} is {element}, {datatype} takes integers only"
    shown = shown_int(element) if isinstance(element, int) else element
    return f"data element {start} is {shown}, out of range for {datatype}"


def _ragged(shape: tuple[int, ...]) -> str:
    return f"data is ragged, nest it by the shape {show_shape(shape)} or send it flat"
