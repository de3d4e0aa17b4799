"""ModelInferRequest to InferRequest; tritonclient's generated messages write what is read."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import InferInput, service_pb2

from serve.errors import InvalidRequest, PenstockError, Unsupported
from serve.protocol.grpc_request import MAX_TENSORS, decode, peek
from serve.tensors import InferRequest

Request = service_pb2.ModelInferRequest
Parameter = service_pb2.InferParameter


def message(**fields: Any) -> Any:
    """One raw FP32 input of shape [1, 2], and what the test adds."""
    request = Request(model_name="m", raw_input_contents=[bytes(8)], **fields)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    return request


def refusal(request: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decode(request.SerializeToString())
    return str(caught.value)


def test_request_has_all_fields() -> None:
    request = decode(message(id="7", model_version="3").SerializeToString())
    assert (request.model_name, request.model_version, request.id) == ("m", "3", "7")
    assert request.protocol == "grpc"
    assert request.outputs is None
    assert request.parameters is None
    (tensor,) = request.inputs
    assert (tensor.name, tensor.datatype, tensor.array.tolist()) == ("x", "FP32", [[0.0, 0.0]])


@pytest.mark.parametrize(
    "array",
    [
        np.array([[True, False]]),
        np.array([-1, 1], np.int8),
        np.array([[2**64 - 1]], np.uint64),
        np.array([1.5, np.inf], np.float16),
        np.array([1.5, -0.0], ml_dtypes.bfloat16),
        np.array([np.nan, 1e-45], np.float32),
        np.zeros((0, 4), np.int32),
        np.array(1.5, np.float64),
        np.arange(40_000, dtype=np.int32).reshape(2, 4, -1),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_raw_contents_keep_every_bit(array: Any) -> None:
    datatype = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64"}.get(
        array.dtype.name, array.dtype.name.upper().replace("BFLOAT16", "BF16")
    )
    request = Request(raw_input_contents=[array.tobytes()])
    request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    decoded = decode(request.SerializeToString()).inputs[0].array
    assert decoded.dtype == array.dtype
    assert decoded.shape == array.shape
    assert decoded.tobytes() == array.tobytes()
    assert not decoded.flags.writeable


def test_raw_strings_are_split_when_tritonclient_framed_them() -> None:
    triton = InferInput("x", [3], "BYTES")
    triton.set_data_from_numpy(np.array([b"", "é".encode(), b"\x00" * 5], dtype=object))
    request = Request(inputs=[triton._get_tensor()], raw_input_contents=[triton._get_content()])
    assert decode(request.SerializeToString()).inputs[0].array.tolist() == [
        b"",
        "é".encode(),
        b"\x00" * 5,
    ]


def test_large_raw_contents_are_views_of_the_message() -> None:
    array = np.arange(50_000, dtype=np.float32)
    request = Request(model_name="m", raw_input_contents=[array.tobytes(), bytes(4)])
    request.inputs.add(name="x", datatype="FP32", shape=[50_000])
    request.inputs.add(name="y", datatype="FP32", shape=[1])
    data = request.SerializeToString()
    decoded = decode(data)
    assert [tensor.name for tensor in decoded.inputs] == ["x", "y"]
    assert np.shares_memory(decoded.inputs[0].array, np.frombuffer(data, np.uint8))
    assert decoded.inputs[0].array.tobytes() == array.tobytes()


def test_typed_contents_are_read() -> None:
    request = Request(model_name="m")
    request.inputs.add(name="x", datatype="INT64", shape=[2]).contents.int64_contents.extend([1, 2])
    request.inputs.add(name="y", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"a")
    decoded = decode(request.SerializeToString())
    assert [tensor.array.tolist() for tensor in decoded.inputs] == [[1, 2], [b"a"]]


def test_raw_and_typed_contents_are_not_mixed() -> None:
    request = message()
    request.inputs[0].contents.fp32_contents.extend([1.0, 2.0])
    assert "'x': contents must not be set when raw_input_contents is used" in refusal(request)


@pytest.mark.parametrize("entries", [1, 3])
def test_raw_contents_of_another_number_than_inputs_are_refused(entries: int) -> None:
    request = Request(raw_input_contents=[bytes(4)] * entries)
    for name in "xy":
        request.inputs.add(name=name, datatype="FP32", shape=[1])
    assert f"has {entries} entries for 2 inputs" in refusal(request)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "complaint"),
    [
        ("FP32", [1, 2], bytes(7), "needs 8 bytes, got 7"),
        ("FP32", [1, 2], bytes(9), "needs 8 bytes, got 9"),
        ("FP32", [-1, 2], bytes(8), "negative"),
        ("FP32", [2**62, 2**62], bytes(8), "elements"),
        ("FP32", [-(2**63)], bytes(8), "negative"),
        ("FP32", [1] * 40, bytes(4), "dimensions"),
        ("FP31", [1], bytes(4), "unknown datatype 'FP31'"),
        ("", [1], bytes(4), "unknown datatype"),
        ("fp32", [1], bytes(4), "unknown datatype 'fp32'"),
        ("BOOL", [1], b"\x02", "neither 0 nor 1"),
        ("BYTES", [2], bytes(4), "BYTES"),
        ("BYTES", [1], b"\xff\xff\xff\xff", "overruns"),
        ("BYTES", [1], b"\x01\x00\x00\x00ab", "left over"),
        ("BYTES", [2**40], b"", "need at least"),
    ],
)
def test_raw_contents_that_lie_are_refused(
    datatype: str, shape: list[int], raw: bytes, complaint: str
) -> None:
    request = Request(raw_input_contents=[raw])
    request.inputs.add(name="x", datatype=datatype, shape=shape)
    text = refusal(request)
    assert complaint in text
    assert "'x'" in text


def test_parameters_of_every_type_are_read() -> None:
    request = message()
    request.parameters["b"].bool_param = False
    request.parameters["i"].int64_param = -5
    request.parameters["s"].string_param = ""
    request.parameters["d"].double_param = 0.5
    request.parameters["u"].uint64_param = 2**64 - 1
    request.inputs[0].parameters["layout"].string_param = "nhwc"
    decoded = decode(request.SerializeToString())
    assert decoded.parameters == {"b": False, "i": -5, "s": "", "d": 0.5, "u": 2**64 - 1}
    assert decoded.inputs[0].parameters == {"layout": "nhwc"}


@pytest.mark.parametrize("key", ["triton_", "triton_anything"])
def test_reserved_parameter_is_refused(key: str) -> None:
    assert "reserved" in refusal(message(parameters={key: Parameter(bool_param=True)}))


def test_final_response_parameter_is_accepted() -> None:
    key = "triton_enable_empty_final_response"
    decode(message(parameters={key: Parameter(bool_param=True)}).SerializeToString())


def test_parameter_without_a_value_is_refused() -> None:
    assert "parameters.'k' has no value" in refusal(message(parameters={"k": Parameter()}))


def test_outputs_are_read_in_their_order() -> None:
    request = message()
    request.outputs.add(name="b").parameters["classification"].int64_param = 3
    request.outputs.add(name="a")
    outputs = decode(request.SerializeToString()).outputs
    assert outputs is not None
    assert [(output.name, output.classification) for output in outputs] == [("b", 3), ("a", 0)]


@pytest.mark.parametrize(
    "value", [Parameter(int64_param=0), Parameter(bool_param=True), Parameter(string_param="3")]
)
def test_classification_that_is_no_count_is_refused(value: Any) -> None:
    request = message()
    request.outputs.add(name="y").parameters["classification"].CopyFrom(value)
    assert "output 'y' parameters.classification" in refusal(request)


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_duplicate_names_are_refused(field: str) -> None:
    request = message(outputs=[Request.InferRequestedOutputTensor(name="x")])
    getattr(request, field).append(getattr(request, field)[0])
    if field == "inputs":
        request.raw_input_contents.append(bytes(8))
    assert f"{field}: 'x' is given more than once" in refusal(request)


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_shared_memory_is_unsupported(field: str) -> None:
    request = message(outputs=[Request.InferRequestedOutputTensor(name="y")])
    getattr(request, field)[0].parameters["shared_memory_region"].string_param = "r"
    if field == "inputs":
        del request.raw_input_contents[:]
    with pytest.raises(Unsupported, match="shared memory"):
        decode(request.SerializeToString())


def test_crowd_of_tensors_is_refused_before_it_costs() -> None:
    request = Request()
    for index in range(MAX_TENSORS + 1):
        request.inputs.add(name=str(index), datatype="FP32", shape=[0])
    assert f"at most {MAX_TENSORS}" in refusal(request)


@pytest.mark.parametrize("field", [b"\x2a\x00", b"\x32\x00", b"\x22\x00"])
def test_crowd_of_empty_fields_is_refused_before_it_is_parsed(field: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"more than .* fields"):
        decode(b"\x0a\x01m" + field * 50_000)


def test_long_names_are_shortened_in_errors() -> None:
    request = message()
    request.inputs[0].name = "n" * 100_000
    request.inputs[0].datatype = "t" * 100_000
    assert len(refusal(request)) < 500


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x2a\x01\x0a"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"not a valid inference.ModelInferRequest"):
        decode(data)
    assert peek(data) == ("", "")


def test_peek_reads_what_a_refused_message_was_called() -> None:
    assert peek(message(id="7").SerializeToString()) == ("7", "m")


@given(st.binary(max_size=400))
def test_random_bytes_give_a_request_or_a_named_error(data: bytes) -> None:
    _decode_or_refuse(data)


@settings(max_examples=300)
@given(st.data())
def test_mutated_messages_give_a_request_or_a_named_error(data: st.DataObject) -> None:
    request = message(id="7", parameters={"k": Parameter(int64_param=1)})
    request.outputs.add(name="y").parameters["classification"].int64_param = 2
    request.inputs.add(name="z", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(b"\x01\x00\x00\x00a")
    mutated = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(mutated) - 1))
        mutated[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not mutated:
            break
    _decode_or_refuse(bytes(mutated))


def _decode_or_refuse(data: bytes) -> None:
    try:
        request = decode(data)
    except PenstockError:
        return
    assert isinstance(request, InferRequest)
    for tensor in request.inputs:
        assert tensor.array.size >= 0
