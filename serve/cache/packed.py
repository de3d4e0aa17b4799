"""An answer as bytes, for a store that others write to as well.

What is read may be anything: it is used only if it is an answer that the version could have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from serve.tensors import DATATYPES, Array, TensorSpec

__all__ = ["Unpacked", "pack", "unpack"]

FORMAT = 1


class _Tensor(msgspec.Struct, array_like=True, frozen=True):
    datatype: str
    shape: tuple[int, ...]
    data: bytes | list[bytes]


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    format: int
    made_ms: int
    took_ns: int
    outputs: list[_Tensor]


class Unpacked(NamedTuple):
    """``made_ms``: since 1970; ``took_ns``: how long it took to make."""

    outputs: list[Array]
    made_ms: int
    took_ns: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Answer).decode


def pack(
    outputs: Sequence[Array], specs: Sequence[TensorSpec], made_ms: int, took_ns: int
) -> bytes:
    """The answer with these outputs, of a version with the outputs ``specs``."""
    tensors = [
        _Tensor(spec.datatype, array.shape, _data(array, spec.datatype))
        for spec, array in zip(specs, outputs, strict=True)
    ]
    return _encode(_Answer(FORMAT, made_ms, took_ns, tensors))


def unpack(data: bytes, specs: Sequence[TensorSpec], rows: int | None) -> Unpacked:
    """The answer in ``data``; ``rows``: those of the request, None for a model without batches.

    Raises:
        ValueError: it is no answer of a version with the outputs ``specs`` to such a request.
    """
    try:
        answer = _decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an answer: {error}") from None
    if answer.format != FORMAT or len(answer.outputs) != len(specs):
        raise ValueError("an answer of another version")
    try:
        outputs = [
            _array(tensor, spec, rows) for tensor, spec in zip(answer.outputs, specs, strict=True)
        ]
    except OverflowError as error:
        raise ValueError(f"an output of no possible shape: {error}") from None
    return Unpacked(outputs, answer.made_ms, max(0, answer.took_ns))


def _data(array: Array, datatype: str) -> bytes | list[bytes]:
    if datatype != "BYTES":
        return array.tobytes()
    return [
        element if isinstance(element, bytes) else str(element).encode() for element in array.flat
    ]


def _array(tensor: _Tensor, spec: TensorSpec, rows: int | None) -> Array:
    shape = tensor.shape
    expected = spec.shape if rows is None else (rows, *spec.shape[1:])
    fits = len(shape) == len(expected) and all(
        have >= 0 and want in (-1, have) for want, have in zip(expected, shape, strict=True)
    )
    if tensor.datatype != spec.datatype or not fits:
        raise ValueError(f"output '{spec.name}' is another tensor")
    if isinstance(tensor.data, list):
        if spec.datatype != "BYTES":
            raise ValueError(f"output '{spec.name}' has elements of BYTES")
        flat = np.empty(len(tensor.data), object)
        flat[:] = tensor.data
        return flat.reshape(shape)
    if spec.datatype == "BYTES":
        raise ValueError(f"output '{spec.name}' has no elements of BYTES")
    return np.frombuffer(tensor.data, DATATYPES[spec.datatype].dtype).reshape(shape)
