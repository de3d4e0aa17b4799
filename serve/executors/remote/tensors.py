"""Tensors as bytes: a descriptor each, and their data one after another.

A descriptor is the datatype's number, the rank, the bytes of data, and the dimensions. Descriptors
of small tensors repeat from batch to batch, so what was parsed once is recalled by its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from serve.errors import PenstockError
from serve.executors.remote.wire import FrameError, padded
from serve.protocol.binary_data import array_from_bytes, bytes_from_array
from serve.tensors import DATATYPES, Array, datatype_of

__all__ = ["Buffer", "Layout", "Packed", "pack_tensors", "parse_layout", "unpack_tensors"]

Buffer = bytes | memoryview | Array

MAX_RANK = 32
_MOST_BYTES = 2**63 - 1
_HEAD = struct.Struct("<BBHIQ")
_NAMES = tuple(DATATYPES)
_CODES = {name: code for code, name in enumerate(_NAMES)}
_BYTES = _CODES["BYTES"]
_PADDING = [bytes(count) for count in range(16)]
_RECALLED = 2048
"""Descriptors and layouts that are kept; a few hundred bytes each."""
_RECALLED_BYTES = 1024


class Packed(NamedTuple):
    """Tensors ready to be sent: ``meta``, and buffers that together are ``size`` bytes.

    The buffers are views of the arrays where that is possible, with the padding between them.
    """

    meta: bytes
    buffers: list[Buffer]
    size: int
    tensors: int


class _Tensor(NamedTuple):
    code: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class Layout(NamedTuple):
    """Where the tensors lie in a payload, whose bytes are ``size``."""

    tensors: tuple[_Tensor, ...]
    size: int


_descriptors: dict[tuple[int, tuple[int, ...]], bytes] = {}
_layouts: dict[tuple[bytes, int], Layout] = {}


def pack_tensors(arrays: Sequence[Array]) -> Packed:
    """Describe arrays and give their bytes, without a copy where they lie contiguous.

    Raises:
        InternalError: an array of objects that are neither bytes nor text.
        KeyError: a dtype that no datatype of the protocol has.
    """
    metas: list[bytes] = []
    buffers: list[Buffer] = []
    size = 0
    for array in arrays:
        descriptor, data, nbytes = _packed(array)
        metas.append(descriptor)
        buffers.append(data)
        if rest := -nbytes % 16:
            buffers.append(_PADDING[rest])
            nbytes += rest
        size += nbytes
    meta = metas[0] if len(metas) == 1 else b"".join(metas)
    if rest := -len(meta) % 16:
        meta += _PADDING[rest]
    return Packed(meta, buffers, size, len(metas))


def _packed(array: Array) -> tuple[bytes, Buffer, int]:
    """Descriptor, data and bytes of data."""
    dtype = array.dtype
    if dtype.kind in "fiub" and dtype.isnative and array.flags.c_contiguous:
        key = (dtype.num, array.shape)
        descriptor = _descriptors.get(key)
        if descriptor is None:
            descriptor = _descriptor(datatype_of(array), array.shape, array.nbytes)
            if len(_descriptors) >= _RECALLED:
                _descriptors.clear()
            _descriptors[key] = descriptor
        return descriptor, array, array.nbytes
    name = datatype_of(array)
    data = bytes_from_array(array, name)
    return _descriptor(name, array.shape, len(data)), data, len(data)


def _descriptor(name: str, shape: tuple[int, ...], nbytes: int) -> bytes:
    head = _HEAD.pack(_CODES[name], len(shape), 0, 0, nbytes)
    return head + struct.pack(f"<{len(shape)}Q", *shape)


def parse_layout(meta: bytes, count: int) -> Layout:
    """The layout that the descriptors of ``count`` tensors give.

    Raises:
        FrameError: they are not that, or name a tensor that cannot be.
    """
    known = _layouts.get((meta, count))
    if known is not None:
        return known
    tensors: list[_Tensor] = []
    start = offset = 0
    try:
        for _ in range(count):
            code, rank, _, _, nbytes = _HEAD.unpack_from(meta, start)
            if rank > MAX_RANK or code >= len(_NAMES):
                raise FrameError(f"a tensor of rank {rank} and datatype number {code}")
            start += _HEAD.size
            shape = struct.unpack_from(f"<{rank}Q", meta, start)
            start += rank * 8
            dtype = DATATYPES[_NAMES[code]].dtype
            _check(code, dtype, shape, nbytes)
            tensors.append(_Tensor(code, dtype, shape, offset, nbytes))
            offset += padded(nbytes)
    except struct.error:
        raise FrameError(f"the descriptors of {count} tensors end too early") from None
    if padded(start) != len(meta):
        raise FrameError(f"{len(meta) - start} bytes after the descriptors of {count} tensors")
    layout = Layout(tuple(tensors), offset)
    if len(meta) <= _RECALLED_BYTES:
        if len(_layouts) >= _RECALLED:
            _layouts.clear()
        _layouts[meta, count] = layout
    return layout


def _check(code: int, dtype: np.dtype[Any], shape: tuple[int, ...], nbytes: int) -> None:
    # A zero must not hide the overflow of the others: numpy refuses such a shape too.
    if prod(dim for dim in shape if dim) * dtype.itemsize > _MOST_BYTES:
        raise FrameError("a tensor has more elements than memory can")
    elements = prod(shape)
    if code == _BYTES:
        if elements * 4 > nbytes:
            raise FrameError(f"{elements} BYTES elements in {nbytes} bytes")
    elif elements * dtype.itemsize != nbytes:
        raise FrameError(f"a tensor of {elements} × {dtype.itemsize} bytes has {nbytes}")


def unpack_tensors(layout: Layout, payload: Buffer, offset: int = 0) -> list[Array]:
    """The arrays: views of ``payload`` from ``offset`` on, except for BYTES, which are objects.

    Raises:
        FrameError: the elements of a BYTES tensor are not what they claim.
    """
    arrays: list[Array] = []
    for code, dtype, shape, start, nbytes in layout.tensors:
        start += offset
        if code != _BYTES:
            arrays.append(np.ndarray(shape, dtype, payload, start))
            continue
        view = payload.data if isinstance(payload, np.ndarray) else memoryview(payload)
        data = view.cast("B")[start : start + nbytes]
        try:
            arrays.append(array_from_bytes("tensor", "BYTES", shape, data))
        except PenstockError as error:
            raise FrameError(str(error)) from None
    return arrays
