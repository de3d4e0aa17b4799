"""Requests that were recorded, sent again as they are.

A line each, in JSON; blank lines are skipped. Either the body of a v2 request itself:

    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.1, 0.2]}]}

or an object with ``body`` (JSON) or ``body_base64`` (any bytes), and what else it needs:

    {"path": "/v2/models/fraud/infer", "headers": {"X-Tenant": "a"}, "body": {"inputs": []}}
    {"headers": {"Inference-Header-Content-Length": "92"}, "body_base64": "eyJpbnB1dHMi…"}
    {"grpc_base64": "CgVmcmF1ZA…"}

``path`` defaults to the model's. ``grpc_base64`` is a serialised ModelInferRequest. A v2 JSON body
goes over gRPC as well; everything else goes by the protocol it was recorded from. A file that ends
in ``.json`` holds a single request, over as many lines as it likes.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.inputs.encode import Encoding, encode
from benchmarks.inputs.evaluation import DataError
from benchmarks.inputs.signature import Array, Signature, TensorSpec, numpy_dtype
from benchmarks.loadgen.spec import Protocol
from benchmarks.payloads import Payload

__all__ = ["read"]

_JSON = (("Content-Type", "application/json"),)


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A recorded request with more to it than a body."""

    body: dict[str, Any] | None = None
    body_base64: str = ""
    grpc_base64: str = ""
    path: str = ""
    headers: dict[str, str] = {}


def read(file: Path, model: str, protocol: Protocol, encoding: Encoding) -> tuple[Payload, ...]:
    """All requests of a file, for one protocol.

    Raises:
        DataError: a line is not understood, or cannot go by this protocol.
    """
    text = file.read_bytes()
    lines = [text] if file.suffix == ".json" else text.splitlines()
    payloads = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            payloads.append(_payload(line, number, model, protocol, encoding))
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}, line {number}: {error}") from error
    if not payloads:
        raise DataError(f"{file} has no requests")
    return tuple(payloads)


def _payload(
    line: bytes, number: int, model: str, protocol: Protocol, encoding: Encoding
) -> Payload:
    decoded = msgspec.json.decode(line, type=dict[str, Any])
    if "inputs" in decoded:
        decoded = {"body": decoded}
    request = msgspec.convert(decoded, Line)
    name, rows = f"recorded-{number}", _rows(request.body)
    if protocol != "http":
        if request.grpc_base64:
            return Payload(
                name,
                "ModelInfer",
                tuple((key.lower(), value) for key, value in request.headers.items()),
                base64.b64decode(request.grpc_base64),
                rows,
            )
        if request.body is None:
            raise ValueError(f"this request cannot go by {protocol}")
        return encode(*_tensors(request.body, model), protocol, encoding, name)
    if request.grpc_base64:
        raise ValueError("a gRPC request cannot go by http")
    path = request.path or f"/v2/models/{model}/infer"
    headers = tuple(request.headers.items())
    if request.body is None:
        return Payload(name, path, headers, base64.b64decode(request.body_base64), rows)
    if encoding == "binary":
        payload = encode(*_tensors(request.body, model), protocol, encoding, name)
        return msgspec.structs.replace(payload, path=path, headers=(*headers, *payload.headers))
    return Payload(name, path, headers or _JSON, msgspec.json.encode(request.body), rows)


def _rows(body: dict[str, Any] | None) -> int:
    """The first dimension of the first input; 1 where it cannot be told."""
    if not body or not body.get("inputs") or not body["inputs"][0].get("shape"):
        return 1
    return int(body["inputs"][0]["shape"][0])


def _tensors(body: dict[str, Any], model: str) -> tuple[Signature, dict[str, Array]]:
    """The tensors of a JSON body; null is a gap, which bytes have no other word for than NaN.

    An input that is nothing but gaps is left out instead, which any model with gaps takes.
    """
    specs, tensors = [], {}
    for tensor in body["inputs"]:
        dtype = numpy_dtype(tensor["datatype"])
        if all(value is None for value in tensor["data"]):
            continue
        specs.append(TensorSpec(tensor["name"], tensor["datatype"], [-1, *tensor["shape"][1:]]))
        values = np.array(tensor["data"], np.object_)
        if dtype.kind == "f":
            values[values == np.array(None)] = np.nan
        tensors[tensor["name"]] = values.astype(dtype).reshape(tensor["shape"])
    return Signature(model, specs), tensors
