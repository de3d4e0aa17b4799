"""By what callers are told apart: the key of a request, the same over every protocol.

A key is text in bytes: a header without the spaces around it, a string as it is, a number in
decimal, ``true`` or ``false``. So ``7`` is the same caller in a header, a parameter and an input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from serve.config.traffic import Sticky
from serve.tensors import InferRequest, RequestBlock, Tensor

__all__ = ["Key", "ReadKey", "read_key"]

Key = bytes | None
"""None: the request has none."""


class ReadKey(Protocol):
    """Reads the keys of requests. Neither raises."""

    def of(self, request: InferRequest) -> Key:
        """The key of a request."""

    def of_block(self, block: RequestBlock) -> Sequence[Key]:
        """The keys of the requests of a block."""


def read_key(sticky: Sticky) -> ReadKey:
    """What reads the keys that ``sticky`` asks for."""
    if sticky.header is not None:
        return _Header(sticky.header)
    if sticky.parameter is not None:
        return _Parameter(sticky.parameter)
    assert sticky.input is not None
    return _Input(sticky.input)


class _Header:
    def __init__(self, name: str) -> None:
        self._name = name.lower().encode()

    def of(self, request: InferRequest) -> Key:
        headers = request.headers
        value = headers.get(self._name) if headers is not None else None
        return value.strip() or None if value is not None else None

    def of_block(self, block: RequestBlock) -> Sequence[Key]:
        return [self.of(request) for request in block.requests]


class _Parameter:
    def __init__(self, name: str) -> None:
        self._name = name

    def of(self, request: InferRequest) -> Key:
        parameters = request.parameters
        value = parameters.get(self._name) if parameters else None
        return None if value is None else _text(value)

    def of_block(self, block: RequestBlock) -> Sequence[Key]:
        return [self.of(request) for request in block.requests]


class _Input:
    """The first element of an input."""

    def __init__(self, name: str) -> None:
        self._name = name

    def of(self, request: InferRequest) -> Key:
        for tensor in request.inputs:
            if tensor.name == self._name:
                return _first_elements(tensor, 1)[0]
        return None

    def of_block(self, block: RequestBlock) -> Sequence[Key]:
        number = len(block.requests)
        for tensor in block.inputs:
            if tensor.name == self._name:
                return _first_elements(tensor, number)
        return [None] * number


def _first_elements(tensor: Tensor, number: int) -> Sequence[Key]:
    """The keys of so many requests, which have equal shares of a tensor."""
    if not tensor.array.size:
        return [None] * number
    keys = [_text(value) for value in _heads(tensor.array, number)]
    if tensor.missing is not None:
        there = zip(keys, _heads(tensor.missing, number), strict=True)
        keys = [None if missing else key for key, missing in there]
    return keys


def _heads(array: np.ndarray[Any, Any], number: int) -> list[Any]:
    heads: list[Any] = array.reshape(number, -1)[:, 0].tolist()
    return heads


def _text(value: Any) -> Key:
    if isinstance(value, bytes):
        return value or None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass") or None
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return b"%d" % int(value)  # JSON has 7 and 7.0 for one number
    return repr(value).encode()
