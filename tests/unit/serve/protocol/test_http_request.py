import json

import numpy as np
import pytest

from serve.errors import InvalidRequest, PenstockError, Unsupported
from serve.protocol.http_request import decode, decode_raw, parse_json_bytes
from serve.tensors import Signature, TensorSpec

X = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5]}
BINARY = {"name": "x", "shape": [2], "datatype": "INT16", "parameters": {"binary_data_size": 4}}


def encode(tail: bytes | None = None, **request: object) -> tuple[bytes, int | None]:
    head = json.dumps({"inputs": [X], **request}).encode()
    return (head, None) if tail is None else (head + tail, len(head))


def one_input(tail: bytes | None = None, **fields: object) -> tuple[bytes, int | None]:
    return encode(tail, inputs=[{**X, **fields}])


def without(tensor: dict, key: str) -> dict:
    return {name: value for name, value in tensor.items() if name != key}


def test_decode_takes_a_plain_request():
    request = decode(*encode(), "m", "3")
    (tensor,) = request.inputs
    assert (request.model_name, request.model_version, request.id) == ("m", "3", "")
    assert (request.outputs, request.parameters, request.protocol) == (None, None, "http")
    assert (tensor.name, tensor.datatype, tensor.missing) == ("x", "FP32", None)
    assert tensor.array.dtype == np.float32
    assert tensor.array.tolist() == [[1, 2.5]]


def test_decode_takes_id_parameters_and_outputs():
    outputs = [
        {"name": "a"},
        {"name": "b", "parameters": {"binary_data": True, "classification": 3}},
    ]
    body = encode(id="7", parameters={"priority": 1, "timeout": 1000, "z": 0.5}, outputs=outputs)
    request = decode(*body, "m", "")
    assert request.id == "7"
    assert request.parameters == {"priority": 1, "timeout": 1000, "z": 0.5}
    assert [(output.name, output.classification) for output in request.outputs] == [
        ("a", 0),
        ("b", 3),
    ]
    assert request.outputs[1].parameters["binary_data"] is True


def test_decode_means_all_outputs_when_the_list_is_empty():
    assert decode(*encode(outputs=[]), "m", "").outputs is None


def test_decode_mixes_json_and_binary_inputs():
    second = {**BINARY, "name": "z", "parameters": {"binary_data_size": 4, "note": "kept"}}
    inputs = [{**BINARY, "name": "a"}, X, second]
    request = decode(*encode(b"\1\0\2\0\3\0\4\0", inputs=inputs), "m", "")
    assert [tensor.array.ravel().tolist() for tensor in request.inputs] == [
        [1, 2],
        [1, 2.5],
        [3, 4],
    ]
    assert [tensor.parameters for tensor in request.inputs] == [None, None, {"note": "kept"}]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_decode_does_not_copy_binary_inputs(kind):
    body, json_bytes = encode(b"\1\0\2\0", inputs=[BINARY])
    body = kind(body)
    array = decode(body, json_bytes, "m", "").inputs[0].array
    assert np.shares_memory(array, np.frombuffer(body, np.uint8))
    assert not array.flags.writeable


def test_decode_takes_an_empty_binary_tensor_without_the_header():
    empty = {**BINARY, "shape": [0], "parameters": {"binary_data_size": 0}}
    assert decode(*encode(inputs=[empty]), "m", "").inputs[0].array.shape == (0,)


def test_decode_takes_nulls_as_missing():
    tensor = decode(*one_input(data=[[None, 2]]), "m", "").inputs[0]
    assert tensor.array.tolist() == [[0, 2]]
    assert tensor.missing.tolist() == [[True, False]]


BAD = {
    "count": (
        one_input(shape=[1, 3], data=[1] * 4),
        "inputs[0] 'x': shape [1,3] needs 3 elements, data has 4",
    ),
    "ragged": (one_input(data=[[1], [2]]), "inputs[0] 'x': shape [1,2] needs 1 entries"),
    "range": (
        one_input(datatype="INT8", data=[1, 300]),
        "inputs[0] 'x': data element 1 is 300, out of",
    ),
    "float": (one_input(datatype="INT8", data=[1, 1.0]), "INT8 takes integers only"),
    "negative shape": (one_input(shape=[-1, 2]), "inputs[0] 'x': shape [-1,2] has a negative"),
    "huge shape": (one_input(shape=[2**40, 2**40]), "has more than"),
    "FP16": (one_input(datatype="FP16"), "inputs[0] 'x': FP16 has no JSON form, send it as binary"),
    "BF16": (one_input(datatype="BF16"), "inputs[0] 'x': BF16 has no JSON form, send it as binary"),
    "no data": (encode(inputs=[without(X, "data")]), "inputs[0] 'x': has neither data nor"),
    "no data, parameters": (
        encode(inputs=[{**without(X, "data"), "parameters": {"a": 1}}]),
        "inputs[0] 'x': has neither data nor parameters.binary_data_size",
    ),
    "both": (
        one_input(b"1234", parameters={"binary_data_size": 4}),
        "inputs[0] 'x': has both data and binary_data_size",
    ),
    "duplicate input": (encode(inputs=[X, X]), "inputs[1] 'x': this name was given before"),
    "duplicate output": (
        encode(outputs=[{"name": "y"}, {"name": "z"}, {"name": "y"}]),
        "outputs[2] 'y': this name was given before",
    ),
    "reserved": (
        encode(parameters={"triton_x": 1}),
        "parameters.'triton_x': names that start with",
    ),
    "parameter null": (encode(parameters={"a": None}), "parameters.'a' must be a string, a number"),
    "parameter list": (encode(parameters={"a": [1]}), "parameters.'a' must be a string"),
    "parameter huge": (encode(parameters={"a": 2**64}), "parameters.'a' does not fit in 64 bits"),
    "input parameter": (one_input(parameters={"a": {}}), "inputs[0] 'x' parameters.'a' must be"),
    "binary_data_output": (
        encode(parameters={"binary_data_output": 1}),
        "parameters.binary_data_output must be true or false",
    ),
    "binary_data": (
        encode(outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
        "outputs[0] 'y': binary_data must be true or false",
    ),
    "classification": (
        encode(outputs=[{"name": "y", "parameters": {"classification": 0}}]),
        "outputs[0] 'y' parameters.classification must be an integer above 0",
    ),
    "left over": (encode(b"\0" * 5, inputs=[BINARY]), "1 bytes are left over after the binary"),
    "left over, JSON": (encode(b"\0"), "1 bytes are left over"),
    "short": (
        encode(b"\0" * 3, inputs=[BINARY]),
        "inputs[0] 'x': binary_data_size is 4, 3 bytes of the body are left",
    ),
    "short second": (
        encode(b"\0" * 6, inputs=[BINARY, {**BINARY, "name": "z"}]),
        "inputs[1] 'z': binary_data_size is 4, 2 bytes",
    ),
    "no header": (encode(inputs=[BINARY]), "0 bytes of the body are left"),
    "JSON cut": ((encode()[0], 10), "malformed"),
    "no JSON": ((b"1234", 0), "malformed"),
    "BYTES": (
        encode(
            b"\x09\0\0\0",
            inputs=[{**BINARY, "shape": [1], "datatype": "BYTES"}],
        ),
        "inputs[0] 'x': BYTES element 0 overruns the data by 9 bytes",
    ),
} | {
    f"size {size!r}": (
        encode(b"\0" * 4, inputs=[{**BINARY, "parameters": {"binary_data_size": size}}]),
        message,
    )
    for size, message in [
        (-1, "inputs[0] 'x': binary_data_size must be an integer, 0 or more"),
        (True, "binary_data_size must be an integer"),
        (4.0, "binary_data_size must be an integer"),
        ("4", "binary_data_size must be an integer"),
        (None, "'binary_data_size' must be a string, a number"),
        (2, "inputs[0] 'x': shape [2] of INT16 needs 4 bytes, got 2"),
        (2**63, "binary_data_size is 9223372036854775808, 4 bytes"),
        (2**200, "binary_data_size is an integer beyond 64 bits"),
    ]
}


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD)
def test_decode_refuses(body, message):
    with pytest.raises(InvalidRequest) as error:
        decode(*body, "m", "")
    assert message in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("name", ["shared_memory_region", "shared_memory_byte_size"])
def test_decode_refuses_shared_memory_as_unsupported(name):
    for body in (
        encode(inputs=[{**without(X, "data"), "parameters": {name: 1}}]),
        encode(outputs=[{"name": "x", "parameters": {name: 1}}]),
    ):
        with pytest.raises(Unsupported, match=r"\[0\] 'x' parameters.*shared memory is not"):
            decode(*body, "m", "")


def signature(*specs: TensorSpec, batched: bool = True) -> Signature:
    return Signature(inputs=specs, outputs=(), batched=batched)


@pytest.mark.parametrize(
    ("datatype", "shape", "batched", "nbytes", "expected"),
    [
        ("FP32", (-1, 3), True, 12, (1, 3)),
        ("FP32", (-1, -1), True, 12, (1, 3)),
        ("FP32", (-1, 2, -1), True, 24, (1, 2, 3)),
        ("FP16", (-1,), False, 6, (3,)),
        ("INT64", (2,), False, 16, (2,)),
        ("FP32", (-1, -1), True, 0, (1, 0)),
        ("BF16", (-1,), True, 2, (1,)),
    ],
)
def test_decode_raw_finds_the_shape(datatype, shape, batched, nbytes, expected):
    spec = TensorSpec("x", datatype, shape)
    request = decode_raw(bytes(nbytes), "m", "2", signature(spec, batched=batched))
    (tensor,) = request.inputs
    assert (tensor.name, tensor.datatype, tensor.array.shape) == ("x", datatype, expected)
    assert request.parameters == {"binary_data_output": True}


@pytest.mark.parametrize("shape", [(-1, 1), (-1, -1), (-1,)])
def test_decode_raw_takes_bytes_as_one_element(shape):
    request = decode_raw(b"\xffjpeg", "m", "", signature(TensorSpec("x", "BYTES", shape)))
    assert request.inputs[0].array.shape == (1,) * len(shape)
    assert request.inputs[0].array.item() == b"\xffjpeg"


@pytest.mark.parametrize(
    ("specs", "nbytes", "message"),
    [
        ((), 4, "exactly one input; this one has 0"),
        ((TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,))), 4, "this one has 2"),
        ((TensorSpec("x", "FP32", (-1, -1, -1)),), 4, "input 'x': 2 dimensions are variable"),
        ((TensorSpec("x", "FP32", (-1, 3)),), 8, "'x': shape [1,3] of FP32 needs 12 bytes, got 8"),
        ((TensorSpec("x", "FP32", (-1, -1, 3)),), 20, "needs 12 bytes, got 20"),
        ((TensorSpec("x", "FP32", (-1, -1, 0)),), 4, "needs 0 bytes, got 4"),
        ((TensorSpec("x", "BYTES", (-1, 2)),), 4, "is one BYTES element, the model takes 2"),
    ],
)
def test_decode_raw_refuses(specs, nbytes, message):
    with pytest.raises(InvalidRequest) as error:
        decode_raw(bytes(nbytes), "m", "", signature(*specs))
    assert message in str(error.value)


@pytest.mark.parametrize(("value", "expected"), [(b"0", 0), (b"10", 10), (b"007", 7)])
def test_parse_json_bytes_takes_digits(value, expected):
    assert parse_json_bytes(value, 10) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "must be a number of bytes, not ''"),
        (b"-1", "not '-1'"),
        (b"+1", "not '+1'"),
        (b" 1", "not ' 1'"),
        (b"1_0", "not '1_0'"),
        (b"0x1", "not '0x1'"),
        (b"1.0", "not '1.0'"),
        (b"\xb2", "not '²'"),
        ("٣".encode(), "must be a number of bytes"),
        (b"9" * 10**6, "(1000000 characters)"),
        (b"11", "is 11, the body has 10 bytes"),
        (b"9" * 20, "the body has 10 bytes"),
    ],
)
def test_parse_json_bytes_refuses(value, message):
    with pytest.raises(PenstockError) as error:
        parse_json_bytes(value, 10)
    assert message in str(error.value)
