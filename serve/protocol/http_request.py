"""HTTP inference requests: a body of JSON, of JSON and binary tensors, or of one raw tensor."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from msgspec import UNSET

from serve.errors import InvalidRequest
from serve.protocol.binary_data import array_from_bytes
from serve.protocol.json_data import array_from_json
from serve.protocol.json_message import InputMessage, OutputMessage, RequestMessage, parse_request
from serve.protocol.parameters import (
    check_request_parameters,
    check_tensor_parameters,
    classification,
)
from serve.protocol.quoting import quoted, shown_int
from serve.tensors import DATATYPES, InferRequest, Parameter, RequestedOutput, Signature, Tensor

__all__ = ["decode", "decode_raw", "from_message", "parse_json_bytes"]

HEADER = "Inference-Header-Content-Length"

_NO_BYTES = memoryview(b"")

Body = bytes | bytearray | memoryview


def decode(body: Body, json_bytes: int | None, model_name: str, model_version: str) -> InferRequest:
    """The request in a body whose first ``json_bytes`` bytes are JSON, all of it if None.

    Binary tensors follow the JSON in the order of the inputs; their arrays are read-only views
    of ``body``, perhaps unaligned, so the body must not change while the request lives.

    Raises:
        InvalidRequest: names the field and what it should be.
        Unsupported: a tensor in shared memory.
    """
    if json_bytes is None:
        return from_message(parse_request(body), _NO_BYTES, model_name, model_version)
    view = memoryview(body)
    message = parse_request(view[:json_bytes])
    return from_message(message, view[json_bytes:], model_name, model_version)


def from_message(
    message: RequestMessage, binary: memoryview, model_name: str, model_version: str
) -> InferRequest:
    """The request that parsed JSON and the bytes behind it are; raises what ``decode`` does."""
    request = InferRequest(model_name, model_version, _inputs(message.inputs, binary))
    if message.id:
        request.id = message.id
    if message.parameters:
        request.parameters = _request_parameters(message.parameters)
    if message.outputs:
        request.outputs = [_output(*entry) for entry in enumerate(message.outputs)]
        if len(request.outputs) > 1:
            _refuse_duplicates("outputs", [output.name for output in request.outputs])
    return request


def _inputs(items: list[InputMessage], binary: memoryview) -> list[Tensor]:
    """The inputs, of which those without data take their part of ``binary``, in turn."""
    inputs = []
    start = 0
    for index, item in enumerate(items):
        if item.parameters is None and item.data is not UNSET:
            inputs.append(_json_input(index, item, None))
        else:
            tensor, used_bytes = _input(index, item, binary[start:])
            start += used_bytes
            inputs.append(tensor)
    if start != len(binary):
        raise InvalidRequest(
            f"{len(binary) - start} bytes are left over after the binary tensors: "
            f"check {HEADER} and the binary_data_size of each input"
        )
    if len(inputs) > 1:
        _refuse_duplicates("inputs", [tensor.name for tensor in inputs])
    return inputs


def _json_input(index: int, item: InputMessage, parameters: dict[str, Parameter] | None) -> Tensor:
    try:
        array, missing = array_from_json(item.name, item.datatype, item.shape, item.data)
    except InvalidRequest as error:
        raise InvalidRequest(f"inputs[{index}] {error}") from None
    return Tensor(item.name, item.datatype, array, missing, parameters)


def _input(index: int, item: InputMessage, binary: memoryview) -> tuple[Tensor, int]:
    """An input with parameters or without data, and how many bytes of ``binary`` it took."""
    given = item.parameters or {}
    size: Any = given.get("binary_data_size")
    parameters = None
    if len(given) > (size is not None):
        parameters = dict(check_tensor_parameters(_where("inputs", index, item.name), given))
        parameters.pop("binary_data_size", None)
    if size is None and item.data is not UNSET:
        return _json_input(index, item, parameters), 0
    problem = None
    if size is None:
        problem = "has neither data nor parameters.binary_data_size"
    elif item.data is not UNSET:
        problem = "has both data and binary_data_size, send one of them"
    elif type(size) is not int or size < 0:
        problem = "binary_data_size must be an integer, 0 or more"
    elif size > len(binary):
        problem = (
            f"binary_data_size is {shown_int(size)}, {len(binary)} bytes of the body are left "
            f"({HEADER} says where the JSON ends)"
        )
    if problem:
        raise InvalidRequest(f"{_where('inputs', index, item.name)}: {problem}")
    try:
        array = array_from_bytes(item.name, item.datatype, item.shape, binary[:size])
    except InvalidRequest as error:
        raise InvalidRequest(f"inputs[{index}] {error}") from None
    return Tensor(item.name, item.datatype, array, None, parameters), size


def _where(field: str, index: int, name: str) -> str:
    return f"{field}[{index}] {quoted(name)}"


def _output(index: int, item: OutputMessage) -> RequestedOutput:
    if not item.parameters:
        return RequestedOutput(item.name)
    where = _where("outputs", index, item.name)
    parameters = check_tensor_parameters(where, item.parameters)
    if not isinstance(parameters.get("binary_data", False), bool):
        raise InvalidRequest(f"{where}: binary_data must be true or false")
    return RequestedOutput(item.name, classification(where, parameters), parameters)


def _request_parameters(parameters: dict[str, Any]) -> Any:
    checked = check_request_parameters(parameters)
    if not isinstance(checked.get("binary_data_output", False), bool):
        raise InvalidRequest("parameters.binary_data_output must be true or false")
    return checked


def _refuse_duplicates(field: str, names: list[str]) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise InvalidRequest(f"{field}[{index}] {quoted(name)}: this name was given before")
        seen.add(name)


def decode_raw(
    body: Body, model_name: str, model_version: str, signature: Signature
) -> InferRequest:
    """The request whose body is nothing but the bytes of the model's one input, batch 1.

    At most one dimension, the batch aside, may be variable: its size follows from the bytes. For
    BYTES the body is the one element itself, without a length before it. All outputs come back
    binary.

    Raises:
        InvalidRequest: the model cannot be asked so, or the bytes do not fit its input.
    """
    if len(signature.inputs) != 1:
        raise InvalidRequest(
            f"the body has no JSON ({HEADER}: 0), which needs a model with exactly one input; "
            f"this one has {len(signature.inputs)}"
        )
    spec = signature.inputs[0]
    shape = list(spec.shape)
    if signature.batched:
        shape[0] = 1
    variable = [axis for axis, dim in enumerate(shape) if dim < 0]
    if len(variable) > 1:
        raise InvalidRequest(
            f"input {quoted(spec.name)}: {len(variable)} dimensions are variable, a body without "
            f"JSON ({HEADER}: 0) leaves at most one to find"
        )
    data = memoryview(body)
    known = prod(dim for dim in shape if dim >= 0)
    if spec.datatype == "BYTES":
        for axis in variable:
            shape[axis] = 1
        if known != 1:
            raise InvalidRequest(
                f"input {quoted(spec.name)}: a body without JSON ({HEADER}: 0) is one BYTES "
                f"element, the model takes {known}"
            )
        array = np.full(shape, bytes(data), dtype=object)
    else:
        item_bytes = known * DATATYPES[spec.datatype].itemsize
        for axis in variable:
            shape[axis] = len(data) // item_bytes if item_bytes else 0
        array = array_from_bytes(spec.name, spec.datatype, tuple(shape), data)
    return InferRequest(
        model_name,
        model_version,
        [Tensor(spec.name, spec.datatype, array)],
        parameters={"binary_data_output": True},
    )


def parse_json_bytes(value: bytes, body_bytes: int) -> int:
    """The value of the header that says how many bytes of the body are JSON.

    Raises:
        InvalidRequest: not decimal digits, or more than the body has.
    """
    # Twenty digits hold any 64-bit number; without a bound a long header would cost time.
    if not value.isdigit() or len(value) > 20:
        shown = quoted(value.decode("latin-1"))
        raise InvalidRequest(f"{HEADER} must be a number of bytes, not {shown}")
    json_bytes = int(value)
    if json_bytes > body_bytes:
        raise InvalidRequest(f"{HEADER} is {json_bytes}, the body has {body_bytes} bytes")
    return json_bytes
