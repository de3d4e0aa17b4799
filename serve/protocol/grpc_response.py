"""The server's own response to ModelInferResponse and ModelStreamInferResponse, serialised.

Serialised messages that are put one after another merge into one message. So the parts that
repeat from answer to answer are serialised once, and tensors are copied exactly once, into the
result. Tensors always travel in raw_output_contents, as Triton sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tritonclient.grpc import service_pb2

from serve.protocol.binary_data import bytes_from_array
from serve.protocol.grpc_wire import RAW_OUTPUT_TAG, STREAM_RESPONSE_TAG, varint
from serve.tensors import InferRequest, InferResponse, Parameter

__all__ = ["encode", "encode_stream", "encode_stream_error"]

_MAX_INT64 = 2**63 - 1
_ModelInferResponse = service_pb2.ModelInferResponse
_FINAL: bytes = _ModelInferResponse(
    parameters={"triton_final_response": service_pb2.InferParameter(bool_param=True)}
).SerializeToString()


def encode(request: InferRequest, response: InferResponse) -> bytes:
    """The answer to a ModelInfer call.

    Raises:
        InternalError: an output's array is not of its datatype.
    """
    return b"".join(_parts(request, response))


def encode_stream(request: InferRequest, response: InferResponse) -> bytes:
    """The one, and thereby final, answer to a request on a stream; raises as ``encode`` does."""
    parts = _parts(request, response)
    parts.append(_FINAL)
    length = varint(sum(map(len, parts)))
    return b"".join((STREAM_RESPONSE_TAG, length, *parts))


def encode_stream_error(message: str, request_id: str, model_name: str) -> bytes:
    """An error in place of an answer on a stream; its id says to which request it belongs."""
    error = service_pb2.ModelStreamInferResponse(
        error_message=message,
        infer_response=_ModelInferResponse(id=request_id, model_name=model_name),
    )
    return bytes(error.SerializeToString())


def _parts(request: InferRequest, response: InferResponse) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = [_head(response.model_name, response.model_version)]
    if request.id or response.parameters:
        message = _ModelInferResponse(id=request.id)
        _set_parameters(message.parameters, response.parameters or {})
        parts.append(message.SerializeToString())
    raw: list[bytes | memoryview] = []
    for tensor in response.outputs:
        name, datatype, array = tensor.name, tensor.datatype, tensor.array
        if tensor.parameters:
            parts.append(_describe(name, datatype, array.shape, tensor.parameters))
        else:
            parts.append(_describe_cached(name, datatype, array.shape))
        data = bytes_from_array(array, datatype)
        raw += (RAW_OUTPUT_TAG, varint(len(data)), data)
    return parts + raw


@lru_cache(maxsize=1024)
def _head(model_name: str, model_version: str) -> bytes:
    message = _ModelInferResponse(model_name=model_name, model_version=model_version)
    return bytes(message.SerializeToString())


def _describe(
    name: str, datatype: str, shape: tuple[int, ...], parameters: Mapping[str, Parameter]
) -> bytes:
    message = _ModelInferResponse()
    output = message.outputs.add(name=name, datatype=datatype, shape=shape)
    _set_parameters(output.parameters, parameters)
    return bytes(message.SerializeToString())


@lru_cache(maxsize=4096)
def _describe_cached(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return _describe(name, datatype, shape, {})


def _set_parameters(target: Any, parameters: Mapping[str, Parameter]) -> None:
    for key, value in parameters.items():
        if isinstance(value, bool):
            target[key].bool_param = value
        elif isinstance(value, int):
            if value > _MAX_INT64:
                target[key].uint64_param = value
            else:
                target[key].int64_param = value
        elif isinstance(value, float):
            target[key].double_param = value
        else:
            target[key].string_param = value
