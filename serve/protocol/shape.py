"""Shapes as they come from a client: untrusted numbers that become array dimensions."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from serve.errors import InvalidRequest
from serve.protocol.quoting import quoted, shown_int

__all__ = ["MAX_ELEMENTS", "MAX_RANK", "check_shape", "element_count", "show_shape"]

MAX_RANK = 32
MAX_ELEMENTS = 2**60 - 1
"""Beyond it, eight-byte elements would overflow a signed 64-bit size."""


def check_shape(name: str, shape: tuple[int, ...]) -> int:
    """The number of elements of a tensor of this shape; ``name`` is the tensor's, for the error.

    Raises:
        InvalidRequest: a dimension is negative, or there are too many dimensions or elements.
    """
    try:
        return element_count(shape)
    except ValueError as error:
        raise InvalidRequest(f"{quoted(name)}: {error}") from None


@lru_cache(maxsize=1024)
def element_count(shape: tuple[int, ...]) -> int:
    """The number of elements of a shape; ValueError if it can be no tensor's."""
    if len(shape) > MAX_RANK:
        raise ValueError(f"shape has {len(shape)} dimensions, at most {MAX_RANK} are allowed")
    if any(dim < 0 for dim in shape):
        raise ValueError(
            f"shape {show_shape(shape)} has a negative dimension, give the size that was sent"
        )
    # A zero must not hide the overflow of the others: numpy refuses such a shape too.
    if prod(dim for dim in shape if dim) > MAX_ELEMENTS:
        raise ValueError(f"shape {show_shape(shape)} has more than {MAX_ELEMENTS} elements")
    return prod(shape)


def show_shape(shape: tuple[int, ...]) -> str:
    """A shape as JSON writes it, shortened where a dimension is absurd."""
    return "[" + ",".join(map(shown_int, shape)) + "]"
