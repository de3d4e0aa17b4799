"""The one vocabulary of the server: datatypes, tensors, signatures, requests, batches.

Arrays are numpy throughout. BYTES tensors are object arrays whose elements are ``bytes``;
BF16 tensors have dtype ``ml_dtypes.bfloat16``; all others have the dtype of ``DATATYPES``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ml_dtypes
import msgspec
import numpy as np
import numpy.typing as npt

__all__ = [
    "DATATYPES",
    "Array",
    "Batch",
    "Datatype",
    "Headers",
    "InferRequest",
    "InferResponse",
    "Parameter",
    "RequestBlock",
    "RequestedOutput",
    "Signature",
    "Tensor",
    "TensorSpec",
    "datatype_of",
]

Array = npt.NDArray[Any]
Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype of the protocol: wire name, numpy dtype, bytes an element (0: variable)."""

    name: str
    dtype: np.dtype[Any]
    itemsize: int

    @property
    def config_name(self) -> str:
        """The name in a Triton model configuration, e.g. ``TYPE_FP32``."""
        return "TYPE_STRING" if self.name == "BYTES" else f"TYPE_{self.name}"


def _table() -> dict[str, Datatype]:
    fixed = {
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
        "BF16": ml_dtypes.bfloat16,
    }
    table = {}
    for name, kind in fixed.items():
        dtype: np.dtype[Any] = np.dtype(kind)
        table[name] = Datatype(name, dtype, dtype.itemsize)
    table["BYTES"] = Datatype("BYTES", np.dtype(object), 0)
    return table


DATATYPES: Mapping[str, Datatype] = _table()
"""Wire name to datatype. Everything on the wire is little-endian, as are the hosts we run on."""

_BY_DTYPE = {datatype.dtype: datatype.name for datatype in DATATYPES.values()}


def datatype_of(array: Array) -> str:
    """The wire name of an array's dtype; string arrays are BYTES.

    Raises:
        KeyError: the dtype has no name in the protocol (complex numbers, dates, ...).
    """
    if array.dtype.kind in "US":
        return "BYTES"
    return _BY_DTYPE[array.dtype]


class Tensor(msgspec.Struct, gc=False):
    """A named array on its way in or out.

    ``missing`` is set only where JSON had ``null``: a bool array of the same shape.
    ``array`` may be a read-only view of the received buffer: never write to it.
    """

    name: str
    datatype: str
    array: Array
    missing: npt.NDArray[np.bool_] | None = None
    parameters: Mapping[str, Parameter] | None = None


class RequestedOutput(msgspec.Struct, gc=False):
    """One entry of a request's ``outputs``; ``classification`` is K, 0 for the tensor itself."""

    name: str
    classification: int = 0
    parameters: Mapping[str, Parameter] | None = None


class Headers(Protocol):
    """What came with a request beside its body: the headers of HTTP, the metadata of gRPC."""

    def get(self, name: bytes, /) -> bytes | None:
        """The value of a header, by its name in lower case; the first, of several."""


class InferRequest(msgspec.Struct, gc=False):
    """A decoded request. ``model_version`` "" means: the server chooses.

    ``deadline_ns`` (monotonic, 0: none) is what the transport knows; the ``timeout``
    parameter and the model's own limit are applied by the gateway. ``headers`` are the
    transport's, which does not change them afterwards.
    """

    model_name: str
    model_version: str
    inputs: list[Tensor]
    id: str = ""
    outputs: list[RequestedOutput] | None = None
    parameters: Mapping[str, Parameter] | None = None
    protocol: str = "http"
    received_ns: int = 0
    deadline_ns: int = 0
    traceparent: str = ""
    headers: Headers | None = None


class RequestBlock(msgspec.Struct, gc=False):
    """Requests to one model that are alike, with their tensors together.

    Each has inputs of the same names, datatypes and shapes, wants every output as it is, and has
    no parameters. ``inputs`` hold the rows of all of them, one request's ``rows`` after
    another's; the ``inputs`` of the single requests are empty.
    """

    requests: list[InferRequest]
    inputs: list[Tensor]
    rows: int

    def split(self) -> list[InferRequest]:
        """The requests with their own inputs, as views."""
        start = 0
        for request in self.requests:
            stop = start + self.rows
            request.inputs = [_rows_of(tensor, start, stop) for tensor in self.inputs]
            start = stop
        return self.requests


def _rows_of(tensor: Tensor, start: int, stop: int) -> Tensor:
    missing = None if tensor.missing is None else tensor.missing[start:stop]
    if missing is not None and not missing.any():
        missing = None
    return Tensor(tensor.name, tensor.datatype, tensor.array[start:stop], missing)


class InferResponse(msgspec.Struct, gc=False):
    """The answer to one request; ``outputs`` in the order asked for, or the signature's."""

    model_name: str
    model_version: str
    outputs: list[Tensor]
    id: str = ""
    parameters: Mapping[str, Parameter] | None = None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of a model's signature. ``shape`` has the batch dimension if the model is
    batched; -1 is a variable dimension. ``optional``: a request may leave it out."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives. ``batched``: the first dimension of every tensor is rows."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool


class Batch(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a backend runs once: the unit of work.

    ``inputs`` are in the signature's order, each with ``rows`` rows if the model is batched.
    ``parameters`` has one ``(rows, parameters)`` pair for each request in the batch, in row
    order, and is empty when no request of the batch has any. ``lost``: whoever ran these requests
    was lost so often.
    """

    inputs: tuple[Array, ...]
    rows: int
    parameters: tuple[tuple[int, Mapping[str, Parameter]], ...] = ()
    lost: int = 0
