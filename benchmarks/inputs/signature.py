"""A model's signature as its server tells it, and tensors that fit it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.asking import ask_json
from benchmarks.subject import Served, UnsupportedError

__all__ = ["Signature", "TensorSpec", "extensions", "fetch", "generate", "numpy_dtype"]

Array = npt.NDArray[Any]

_DTYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
FREE_DIM = 16
"""Length of a dimension that the signature leaves open and that is not the batch's."""
_WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")


class TensorSpec(msgspec.Struct, frozen=True):
    """One tensor of a signature; -1: open."""

    name: str
    datatype: str
    shape: list[int]


class Signature(msgspec.Struct, frozen=True):
    """What ``GET /v2/models/NAME`` says."""

    name: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec] = []

    @property
    def is_batched(self) -> bool:
        """Whether the first dimension of every input is open: how many rows a request has."""
        return all(spec.shape[:1] == [-1] for spec in self.inputs)


def fetch(server: Served, model: str = "") -> Signature:
    """Ask a server over HTTP; without a name, for the first model that is ready.

    Raises:
        UnsupportedError: it does not say, or no model is ready.
    """
    if not model:
        index = _ask(server, "POST", "/v2/repository/index")
        ready = [one["name"] for one in index if one.get("state", "READY") == "READY"]
        if not ready:
            raise UnsupportedError("no model of this server is ready")
        model = ready[0]
    return msgspec.convert(_ask(server, "GET", f"/v2/models/{model}"), Signature)


def extensions(server: Served) -> list[str]:
    """What a server says it can do beside the protocol's core.

    Raises:
        UnsupportedError: it does not say.
    """
    return list(_ask(server, "GET", "/v2").get("extensions", []))


def generate(signature: Signature, rows: int, rng: np.random.Generator) -> dict[str, Array]:
    """A tensor for each input: fractions, small numbers, or words.

    Raises:
        UnsupportedError: the model has no batch and more than one row is asked for.
    """
    if rows > 1 and not signature.is_batched:
        raise UnsupportedError(f"model {signature.name} takes one row a request")
    tensors = {}
    for spec in signature.inputs:
        shape = [FREE_DIM if length < 0 else length for length in spec.shape]
        if signature.is_batched:
            shape[0] = rows
        tensors[spec.name] = _values(numpy_dtype(spec.datatype), shape, rng)
    return tensors


def numpy_dtype(datatype: str) -> np.dtype[Any]:
    """The array type of a datatype of the protocol; BF16 is carried as its 16 bits.

    Raises:
        UnsupportedError: we know of no such datatype.
    """
    if datatype == "BF16":
        return np.dtype(np.uint16)
    if datatype not in _DTYPES:
        raise UnsupportedError(f"inputs of datatype {datatype} are not known here")
    return np.dtype(_DTYPES[datatype])


def _values(dtype: np.dtype[Any], shape: list[int], rng: np.random.Generator) -> Array:
    if dtype == np.object_:
        return rng.choice(np.array(_WORDS, np.object_), shape)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if np.issubdtype(dtype, np.integer):
        # Small, because many of them are places in a table whose size nobody tells.
        return rng.integers(0, 2, shape).astype(dtype)
    # Four digits, as clients have them: seventeen would make JSON three times as long.
    return np.round(rng.uniform(0.0, 1.0, shape), 4).astype(dtype)


def _ask(server: Served, method: str, path: str) -> Any:
    return ask_json(server.host, server.http_port, method, path, "the server")
