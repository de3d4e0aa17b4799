"""The key of a caller: the same, whichever way it comes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from serve.config.traffic import Sticky
from serve.gateway.sticky import Key, read_key
from serve.protocol import grpc_request
from serve.protocol.binary_turn import binary_head, decode_binary_turn
from serve.protocol.http_request import decode
from serve.protocol.http_turn import decode_turn
from serve.protocol.json_frame import FrameMemory
from serve.tensors import InferRequest, RequestBlock, Tensor
from serve.transport.grpc.call import Metadata


def body(value: Any, datatype: str, **fields: Any) -> bytes:
    rest = {"name": "rest", "datatype": "FP32", "shape": [1, 1], "data": [0.5]}
    user = {"name": "user", "datatype": datatype, "shape": [1, 1], "data": [value]}
    return json.dumps({"inputs": [rest, user], **fields}).encode()


def json_keys(sticky: Sticky, *bodies: bytes) -> list[Key]:
    """Of single requests."""
    return [read_key(sticky).of(decode(one, None, "m", "")) for one in bodies]


def block_keys(sticky: Sticky, block: RequestBlock | None) -> list[Key]:
    assert block is not None
    return list(read_key(sticky).of_block(block))


def binary_block(values: list[Any], datatype: str) -> RequestBlock | None:
    heads, bodies = [], []
    for value in values:
        if datatype == "BYTES":
            raw = len(value).to_bytes(4, "little") + value
        else:
            raw = np.array([value], {"INT64": np.int64, "FP32": np.float32}[datatype]).tobytes()
        user = {
            "name": "user",
            "datatype": datatype,
            "shape": [1, 1],
            "parameters": {"binary_data_size": len(raw)},
        }
        header = json.dumps({"inputs": [user]}).encode()
        head = binary_head(header, len(header) + len(raw))
        assert head is not None
        heads.append(head)
        bodies.append(header + raw)
    by_form: dict[Any, list[int]] = {}
    for index, head in enumerate(heads):
        by_form.setdefault(head.form, []).append(index)
    (indices,) = by_form.values()
    return decode_binary_turn(
        [heads[i] for i in indices], [bodies[i] for i in indices], "m", ""
    ).block


def grpc(value: Any, datatype: str, **parameters: Any) -> InferRequest:
    message = service_pb2.ModelInferRequest(model_name="m")
    user = message.inputs.add(name="user", datatype=datatype, shape=[1, 1])
    field = {"BYTES": "bytes_contents", "INT64": "int64_contents", "FP32": "fp32_contents"}
    getattr(user.contents, field[datatype]).append(value)
    for name, (kind, parameter) in parameters.items():
        setattr(message.parameters[name], kind, parameter)
    return grpc_request.decode(message.SerializeToString())


@pytest.mark.parametrize(
    ("datatype", "values", "raw", "keys"),
    [
        ("BYTES", ["ann", "bö"], [b"ann", "bö".encode()], [b"ann", "bö".encode()]),
        ("INT64", [7, -(2**60)], [7, -(2**60)], [b"7", b"-1152921504606846976"]),
        ("FP32", [7.0, 0.1], [7.0, 0.1], [b"7", b"0.10000000149011612"]),
    ],
)
def test_input_gives_one_key_over_every_protocol(
    datatype: str, values: list[Any], raw: list[Any], keys: list[Key]
) -> None:
    sticky = Sticky(input="user")
    bodies = [body(value, datatype) for value in values]
    assert json_keys(sticky, *bodies) == keys
    assert block_keys(sticky, decode_turn(bodies, "m", "", FrameMemory()).block) == keys
    same_size = [raw[:1], raw[1:]]
    assert [
        key for one in same_size for key in block_keys(sticky, binary_block(one, datatype))
    ] == (keys)
    assert [read_key(sticky).of(grpc(value, datatype)) for value in raw] == keys


@pytest.mark.parametrize(
    ("value", "field", "key"),
    [
        ("ann", "string_param", b"ann"),
        (7, "int64_param", b"7"),
        (True, "bool_param", b"true"),
        (2.5, "double_param", b"2.5"),
        (7.0, "double_param", b"7"),
    ],
)
def test_parameter_gives_one_key_over_http_and_grpc(value: Any, field: str, key: Key) -> None:
    sticky = Sticky(parameter="user")
    assert json_keys(sticky, body(1, "INT64", parameters={"user": value})) == [key]
    assert read_key(sticky).of(grpc(1, "INT64", user=(field, value))) == key


def test_header_gives_one_key_over_http_and_grpc() -> None:
    read = read_key(Sticky(header="X-User"))
    over_http = InferRequest("m", "", [], headers={b"x-user": b" ann "})
    over_grpc = InferRequest("m", "", [], headers=Metadata((("x-user", "ann"), ("x-user", "b"))))
    assert [read.of(over_http), read.of(over_grpc)] == [b"ann", b"ann"]
    assert read.of_block(RequestBlock([over_http, over_grpc], [], 1)) == [b"ann", b"ann"]


def test_input_of_several_rows_gives_its_first() -> None:
    users = Tensor("user", "INT64", np.arange(6).reshape(6, 1))
    block = RequestBlock([InferRequest("m", "", []) for _ in range(3)], [users], 2)
    assert block_keys(Sticky(input="user"), block) == [b"0", b"2", b"4"]


@pytest.mark.parametrize("way", ["header", "parameter", "input"])
def test_request_may_have_no_key(way: str) -> None:
    read = read_key(Sticky(**{way: "user"}))
    request = InferRequest("m", "", [])
    assert read.of(request) is None
    assert list(read.of_block(RequestBlock([request], [], 1))) == [None]


def test_nothing_is_no_key() -> None:
    missing = Tensor("user", "INT64", np.array([[5], [6]]), np.array([[True], [False]]))
    block = RequestBlock([InferRequest("m", "", []) for _ in range(2)], [missing], 1)
    assert block_keys(Sticky(input="user"), block) == [None, b"6"]
    empty = Tensor("user", "BYTES", np.array([[b""]], object))
    assert read_key(Sticky(input="user")).of(InferRequest("m", "", [empty])) is None
    none = Tensor("user", "INT64", np.empty((0, 1), np.int64))
    assert read_key(Sticky(input="user")).of(InferRequest("m", "", [none])) is None
    blank = InferRequest("m", "", [], headers={b"user": b"  "}, parameters={"user": ""})
    assert read_key(Sticky(header="user")).of(blank) is None
    assert read_key(Sticky(parameter="user")).of(blank) is None
