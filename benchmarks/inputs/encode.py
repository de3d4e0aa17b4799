"""Tensors as requests: v2 JSON, v2 binary, gRPC."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import orjson
from tritonclient.grpc import service_pb2

from benchmarks.inputs.signature import Array, Signature
from benchmarks.loadgen.spec import Protocol
from benchmarks.payloads import Payload

__all__ = ["Encoding", "encode", "raw_bytes"]

Encoding = Literal["json", "binary"]


def encode(
    signature: Signature,
    tensors: Mapping[str, Array],
    protocol: Protocol,
    encoding: Encoding,
    name: str = "request",
) -> Payload:
    """One request; gRPC is always binary. Tensors are [rows, …] where the model is batched."""
    rows = len(next(iter(tensors.values()))) if signature.is_batched else 1
    if protocol == "http":
        as_http = _json if encoding == "json" else _binary
        headers, body = as_http(signature, tensors)
        return Payload(name, f"/v2/models/{signature.name}/infer", headers, body, rows)
    message = service_pb2.ModelInferRequest(model_name=signature.name)
    for spec in signature.inputs:
        if spec.name in tensors:
            array = tensors[spec.name]
            message.inputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
            message.raw_input_contents.append(raw_bytes(array))
    return Payload(name, "ModelInfer", (), message.SerializeToString(), rows)


def raw_bytes(array: Array) -> bytes:
    """Little-endian elements; strings as their length and their UTF-8."""
    if array.dtype != np.object_:
        return np.ascontiguousarray(array).tobytes()
    parts = []
    for element in array.flat:
        text = element if isinstance(element, bytes) else str(element).encode()
        parts += [struct.pack("<I", len(text)), text]
    return b"".join(parts)


def _json(
    signature: Signature, tensors: Mapping[str, Array]
) -> tuple[tuple[tuple[str, str], ...], bytes]:
    inputs = [
        {
            "name": spec.name,
            "shape": tensors[spec.name].shape,
            "datatype": spec.datatype,
            "data": _json_data(tensors[spec.name]),
        }
        for spec in signature.inputs
        if spec.name in tensors
    ]
    return (("Content-Type", "application/json"),), orjson.dumps({"inputs": inputs})


def _json_data(array: Array) -> list[Any]:
    """A flat list; single precision as briefly as it reads back the same, not as the double."""
    if array.dtype in (np.float32, np.float16):
        return [float(str(value)) for value in array.flat]
    return list(array.ravel().tolist())


def _binary(
    signature: Signature, tensors: Mapping[str, Array]
) -> tuple[tuple[tuple[str, str], ...], bytes]:
    inputs: list[dict[str, object]] = []
    parts: list[bytes] = []
    for spec in signature.inputs:
        if spec.name not in tensors:
            continue
        parts.append(raw_bytes(tensors[spec.name]))
        inputs.append(
            {
                "name": spec.name,
                "shape": tensors[spec.name].shape,
                "datatype": spec.datatype,
                "parameters": {"binary_data_size": len(parts[-1])},
            }
        )
    head = orjson.dumps({"parameters": {"binary_data_output": True}, "inputs": inputs})
    headers = (
        ("Content-Type", "application/octet-stream"),
        ("Inference-Header-Content-Length", str(len(head))),
    )
    return headers, b"".join((head, *parts))
