"""The identity of a request: requests of one key have one answer.

A key is a digest of everything that the answer follows from: which version of which model, and
of each input its shape and every byte. Who asked, when and how urgently has no part in it. The
digest is cryptographic, because whoever could find two requests of one key could put an answer
before another caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import pack

from serve.tensors import Array, Parameter

__all__ = ["KEY_BYTES", "Keys"]

KEY_BYTES = 32


class Keys:
    """Makes the keys of one version's requests; ``identity`` says which version of what it is.

    Inputs come as the model takes them: all of them, in the signature's order, of its datatypes,
    with defaults in place of what was left out. Their names and datatypes are therefore the
    version's, and not told again for each request.
    """

    __slots__ = ("_identity",)

    def __init__(self, identity: bytes) -> None:
        self._identity = blake2b(identity, digest_size=KEY_BYTES).digest()

    def of(self, inputs: Sequence[Array], parameters: Mapping[str, Parameter] | None) -> bytes:
        """The key of one request; ``parameters`` are those that reach the backend."""
        parts = [self._identity]
        parts += [_shape(array.shape) for array in inputs]
        parts += [_contents(array) for array in inputs]
        if parameters:
            # Its type is part of a value: True, 1 and 1.0 are told apart by how they are written.
            parts.append(repr(sorted(parameters.items())).encode())
        return blake2b(b"".join(parts), digest_size=KEY_BYTES).digest()

    def of_block(self, inputs: Sequence[Array], rows: int, count: int) -> list[bytes]:
        """The keys of ``count`` requests without parameters, of ``rows`` rows each, in order."""
        opening = self._identity + b"".join([_shape((rows, *array.shape[1:])) for array in inputs])
        columns = [_shares(array, rows, count) for array in inputs]
        return [
            blake2b(b"".join((opening, *data)), digest_size=KEY_BYTES).digest()
            for data in zip(*columns, strict=True)
        ]


@lru_cache(maxsize=4096)
def _shape(shape: tuple[int, ...]) -> bytes:
    return pack(f"<{len(shape) + 1}q", len(shape), *shape)


def _contents(array: Array) -> bytes:
    """Every element; with the shape and the datatype known, no two arrays have the same."""
    if array.dtype.kind != "O":
        return array.tobytes()
    return b"".join([pack("<Q", len(element)) + element for element in array.flat])


def _shares(array: Array, rows: int, count: int) -> list[bytes]:
    """The contents of each request's rows."""
    if array.dtype.kind == "O":
        return [_contents(array[start : start + rows]) for start in range(0, rows * count, rows)]
    data = array.tobytes()
    size = len(data) // count
    return (
        [data[start : start + size] for start in range(0, size * count, size)]
        if size
        else ([b""] * count)
    )
