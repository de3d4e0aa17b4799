"""InferResponse to ModelInferResponse; tritonclient reads what is written."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tritonclient.grpc import InferResult, service_pb2

from serve.errors import InternalError
from serve.protocol.grpc_response import encode, encode_stream, encode_stream_error
from serve.tensors import Array, InferRequest, InferResponse, Tensor, datatype_of

REQUEST = InferRequest("m", "", [], id="7")


def response(*arrays: Array, **fields: Any) -> InferResponse:
    outputs = [Tensor(f"y{i}", datatype_of(array), array) for i, array in enumerate(arrays)]
    return InferResponse("m", "1", outputs, **fields)


def parsed(data: bytes) -> Any:
    return service_pb2.ModelInferResponse.FromString(data)


def test_response_has_all_fields() -> None:
    message = parsed(encode(REQUEST, response(np.ones((2, 1), np.float32))))
    assert (message.model_name, message.model_version, message.id) == ("m", "1", "7")
    (output,) = message.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y0", "FP32", [2, 1])
    assert not output.HasField("contents")
    assert list(message.raw_output_contents) == [np.ones(2, np.float32).tobytes()]


def test_id_is_absent_when_the_request_had_none() -> None:
    assert parsed(encode(InferRequest("m", "", []), response())).id == ""


@given(
    arrays.arrays(
        st.sampled_from(["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8"]),
        arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
    )
)
def test_tritonclient_reads_every_bit(array: Array) -> None:
    read = InferResult(parsed(encode(REQUEST, response(array)))).as_numpy("y0")
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()


def test_several_outputs_keep_their_order() -> None:
    words = np.array([[b"a", "é"]], dtype=object)
    halves = np.array([1.5], ml_dtypes.bfloat16)
    result = InferResult(parsed(encode(REQUEST, response(words, halves, np.arange(3)))))
    assert result.as_numpy("y0").tolist() == [[b"a", "é".encode()]]
    assert result.as_numpy("y1").tolist() == [1.5]
    assert result.as_numpy("y2").tolist() == [0, 1, 2]


def test_strided_output_is_packed() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3).T
    result = InferResult(parsed(encode(REQUEST, response(array))))
    assert result.as_numpy("y0").tolist() == array.tolist()


def test_parameters_of_every_type_are_written() -> None:
    parameters = {"b": True, "i": -(2**63), "u": 2**64 - 1, "d": 0.5, "s": "é"}
    answer = response(np.zeros(1), parameters=parameters)
    answer.outputs[0].parameters = {"binary": False}
    message = parsed(encode(REQUEST, answer))
    choices = {
        key: value.WhichOneof("parameter_choice") for key, value in message.parameters.items()
    }
    assert choices == {
        "b": "bool_param",
        "i": "int64_param",
        "u": "uint64_param",
        "d": "double_param",
        "s": "string_param",
    }
    assert {
        key: getattr(message.parameters[key], field) for key, field in choices.items()
    } == parameters
    assert message.outputs[0].parameters["binary"].bool_param is False


def test_array_of_another_datatype_is_an_internal_error() -> None:
    wrong = InferResponse("m", "1", [Tensor("y", "FP32", np.zeros(1, np.int64))])
    with pytest.raises(InternalError):
        encode(REQUEST, wrong)


@pytest.mark.parametrize("size", [0, 1, 100, 20_000])
def test_stream_answer_wraps_the_response_and_is_final(size: int) -> None:
    data = encode_stream(REQUEST, response(np.zeros(size, np.uint8)))
    message = service_pb2.ModelStreamInferResponse.FromString(data)
    assert message.error_message == ""
    assert message.infer_response.id == "7"
    assert message.infer_response.parameters["triton_final_response"].bool_param
    assert message.infer_response.raw_output_contents[0] == bytes(size)


def test_stream_error_says_to_which_request_it_belongs() -> None:
    data = encode_stream_error("no such model", "7", "m")
    message = service_pb2.ModelStreamInferResponse.FromString(data)
    assert message.error_message == "no such model"
    assert (message.infer_response.id, message.infer_response.model_name) == ("7", "m")
