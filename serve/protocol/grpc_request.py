"""ModelInferRequest, serialised, to the server's own request: all of the protocol's checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from serve.errors import InvalidRequest
from serve.protocol.binary_data import array_from_bytes
from serve.protocol.grpc_contents import array_from_contents
from serve.protocol.grpc_wire import WireError, split_raw_inputs, texts
from serve.protocol.parameters import (
    check_request_parameters,
    check_tensor_parameters,
    classification,
)
from serve.protocol.quoting import quoted
from serve.protocol.shape import MAX_RANK
from serve.tensors import InferRequest, Parameter, RequestedOutput, Tensor

__all__ = ["decode", "peek"]

MAX_TENSORS = 4096
"""Most inputs, requested outputs or parameters: each costs far more than its bytes on the wire."""

MAX_FIELDS = 4 * MAX_TENSORS + 64
"""Most fields of a message: as many inputs, their contents, outputs and parameters as may be."""

_SPLIT_FROM_BYTES = 32 * 1024
_NO_MESSAGE = "the message is not a valid inference.ModelInferRequest"
_MODEL_NAME, _ID = 1, 3
_ModelInferRequest = service_pb2.ModelInferRequest


def decode(data: bytes) -> InferRequest:
    """The request in ``data``, whose arrays are read-only and may be views of it.

    Raises:
        InvalidRequest: not such a message, or one that breaks the protocol.
        Unsupported: a tensor in shared memory.
    """
    raw: Sequence[bytes | memoryview]
    try:
        if len(data) < _SPLIT_FROM_BYTES:
            message = _ModelInferRequest.FromString(data)
            raw = message.raw_input_contents
        else:
            head, raw = split_raw_inputs(data, MAX_FIELDS)
            message = _ModelInferRequest.FromString(head)
    except WireError as error:
        raise InvalidRequest(f"{_NO_MESSAGE}: {error}") from None
    except DecodeError:
        raise InvalidRequest(_NO_MESSAGE) from None
    parameters = message.parameters
    outputs = message.outputs
    return InferRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        inputs=_inputs(message.inputs, raw),
        id=message.id,
        outputs=_outputs(outputs) if outputs else None,
        parameters=check_request_parameters(_parameters("", parameters)) if parameters else None,
        protocol="grpc",
    )


def peek(data: bytes) -> tuple[str, str]:
    """Id and model name of a message that ``decode`` refuses; "" where they cannot be read."""
    found = texts(data, (_ID, _MODEL_NAME), max_fields=64)
    return found.get(_ID, ""), found.get(_MODEL_NAME, "")


def _inputs(messages: Sequence[Any], raw: Sequence[bytes | memoryview]) -> list[Tensor]:
    _check_count("inputs", messages)
    inputs = []
    for message in messages:
        parameters = message.parameters or None
        if parameters is not None:
            where = f"input {quoted(message.name)}"
            parameters = check_tensor_parameters(where, _parameters(where, parameters))
        inputs.append((message, parameters))
    if raw and len(raw) != len(inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raw)} entries for {len(inputs)} inputs, "
            "send one for each in their order, or none"
        )
    tensors = []
    for index, (message, parameters) in enumerate(inputs):
        name, datatype = message.name, message.datatype
        shape = message.shape
        # One dimension too many is enough to be refused; a million need not be copied for it.
        dims = tuple(shape if len(shape) <= MAX_RANK else shape[: MAX_RANK + 1])
        contents = message.contents if message.HasField("contents") else None
        if not raw:
            array = array_from_contents(name, datatype, dims, contents)
        elif contents is not None:
            raise InvalidRequest(
                f"{quoted(name)}: contents must not be set when raw_input_contents is used"
            )
        else:
            array = array_from_bytes(name, datatype, dims, memoryview(raw[index]))
        tensors.append(Tensor(name, datatype, array, None, parameters))
    if len(tensors) > 1:
        _check_distinct("inputs", (tensor.name for tensor in tensors))
    return tensors


def _outputs(messages: Sequence[Any]) -> list[RequestedOutput]:
    _check_count("outputs", messages)
    outputs = []
    for message in messages:
        requested = RequestedOutput(message.name)
        if message.parameters:
            where = f"output {quoted(message.name)}"
            parameters = check_tensor_parameters(where, _parameters(where, message.parameters))
            requested.parameters = parameters
            requested.classification = classification(where, parameters)
        outputs.append(requested)
    _check_distinct("outputs", (output.name for output in outputs))
    return outputs


def _parameters(where: str, messages: Mapping[str, Any]) -> dict[str, Parameter]:
    _check_count(f"{where} parameters".lstrip(), messages)
    parameters: dict[str, Parameter] = {}
    for key, message in messages.items():
        choice = message.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f"{where} parameters.{quoted(key)} has no value".lstrip())
        parameters[key] = getattr(message, choice)
    return parameters


def _check_count(what: str, messages: Sequence[Any] | Mapping[str, Any]) -> None:
    if len(messages) > MAX_TENSORS:
        raise InvalidRequest(
            f"{what}: {len(messages)} entries, at most {MAX_TENSORS} are allowed in a request"
        )


def _check_distinct(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidRequest(f"{what}: {quoted(name)} is given more than once")
        seen.add(name)
