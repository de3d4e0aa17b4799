"""Tensors as raw bytes: little-endian, row-major, packed (binary_tensor_data, raw contents).

BOOL is one byte, 0 or 1. A BYTES element is its length as an unsigned 32-bit integer and then
its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import repeat

import numpy as np

from serve.errors import InternalError, InvalidRequest
from serve.protocol.quoting import quoted
from serve.protocol.shape import check_shape, show_shape
from serve.tensors import DATATYPES, Array

__all__ = ["array_from_bytes", "bytes_elements", "bytes_from_array"]

_LENGTH = struct.Struct("<I")
_LENGTH_BYTES = _LENGTH.size


def array_from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Array:
    """The tensor whose bytes are ``data`` (format ``B``, one dimension).

    Fixed-size datatypes give a read-only view of ``data``, which may be unaligned; BYTES gives
    an object array of ``bytes``.

    Raises:
        InvalidRequest: unknown datatype, bad shape, or not exactly the bytes of that shape.
    """
    kind = DATATYPES.get(datatype)
    if kind is None:
        raise InvalidRequest(f"{quoted(name)}: {unknown_datatype(datatype)}")
    count = check_shape(name, shape)
    if datatype == "BYTES":
        return _split_elements(name, count, data).reshape(shape)
    if data.nbytes != count * kind.itemsize:
        raise InvalidRequest(
            f"{quoted(name)}: shape {show_shape(shape)} of {datatype} needs "
            f"{count * kind.itemsize} bytes, got {data.nbytes}"
        )
    if datatype == "BOOL" and count and np.frombuffer(data, np.uint8).max() > 1:
        raise InvalidRequest(f"{quoted(name)}: a BOOL byte is neither 0 nor 1")
    return np.ndarray(shape, kind.dtype, data.toreadonly())


def unknown_datatype(datatype: str) -> str:
    """The complaint about a datatype that the protocol does not have."""
    return f"unknown datatype {quoted(datatype)}, use one of {', '.join(sorted(DATATYPES))}"


def _split_elements(name: str, count: int, data: memoryview) -> Array:
    total = data.nbytes
    # Checked before anything of size `count` exists: a shape costs a client nothing to claim.
    if count * _LENGTH_BYTES > total:
        raise InvalidRequest(
            f"{quoted(name)}: {count} BYTES elements need at least {count * _LENGTH_BYTES} bytes, "
            f"got {total}"
        )
    elements: list[bytes] = []
    append = elements.append
    unpack_length = _LENGTH.unpack_from
    raw = data.tobytes()
    start = 0
    try:
        for _ in repeat(None, count):
            (size,) = unpack_length(raw, start)
            start += _LENGTH_BYTES
            end = start + size
            append(raw[start:end])
            start = end
    except struct.error:
        pass  # the length of the next element lies beyond the end
    if start > total:
        raise InvalidRequest(
            f"{quoted(name)}: BYTES element {len(elements) - 1} overruns the data by "
            f"{start - total} bytes"
        )
    if len(elements) < count:
        raise InvalidRequest(
            f"{quoted(name)}: {count} BYTES elements are due, the data ends after {len(elements)}"
        )
    if start != total:
        raise InvalidRequest(
            f"{quoted(name)}: {total - start} bytes are left over after {count} BYTES elements"
        )
    return np.array(elements, dtype=object)


def bytes_from_array(array: Array, datatype: str) -> memoryview | bytes:
    """The bytes of a tensor: a view if it lies contiguous in memory, else of a copy.

    BYTES elements may be ``bytes`` or ``str`` (sent as UTF-8), numpy's own strings included.

    Raises:
        InternalError: the array cannot be of that datatype.
    """
    if datatype == "BYTES":
        pack_length = _LENGTH.pack
        parts: list[bytes] = []
        for element in bytes_elements(array):
            parts.append(pack_length(len(element)))
            parts.append(element)
        return b"".join(parts)
    dtype = DATATYPES[datatype].dtype
    try:
        # "equiv" swaps bytes at most; anything else would hide a fault of the backend.
        packed = array.astype(dtype, order="C", casting="equiv", copy=False)
    except TypeError:
        raise InternalError(f"a {datatype} tensor has elements of type {array.dtype}") from None
    return packed.reshape(-1).view(np.uint8).data


def bytes_elements(array: Array) -> Iterable[bytes]:
    """The elements of a BYTES tensor in row-major order, each as ``bytes``."""
    for element in array.reshape(-1).tolist():
        if isinstance(element, bytes):
            yield element
        elif isinstance(element, str):
            yield element.encode("utf-8", "surrogatepass")
        elif isinstance(element, bytearray | memoryview):
            yield bytes(element)
        else:
            raise InternalError(
                f"a BYTES tensor has an element of type {type(element).__name__}, not bytes or str"
            )
