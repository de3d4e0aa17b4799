"""The same tensors, in each form of request."""

import numpy as np
import orjson
import pytest
from tritonclient.grpc import service_pb2

from benchmarks.inputs.encode import encode, raw_bytes
from benchmarks.inputs.signature import Signature, TensorSpec

SIGNATURE = Signature("m", [TensorSpec("x", "FP32", [-1, 2]), TensorSpec("word", "BYTES", [-1, 1])])
TENSORS = {
    "x": np.array([[0.1, 2.0], [3.0, np.nan]], np.float32),
    "word": np.array([["a"], ["grün"]], np.object_),
}


def test_encode_json_writes_numbers_as_briefly_as_they_are():
    payload = encode(SIGNATURE, TENSORS, "http", "json")
    x, word = orjson.loads(payload.body)["inputs"]

    assert b"[0.1,2.0,3.0,null]" in payload.body
    assert (x["shape"], word["data"], payload.rows) == ([2, 2], ["a", "grün"], 2)
    assert payload.path == "/v2/models/m/infer"


def test_encode_binary_puts_the_tensors_behind_the_header():
    payload = encode(SIGNATURE, TENSORS, "http", "binary")
    length = int(dict(payload.headers)["Inference-Header-Content-Length"])
    sizes = [
        tensor["parameters"]["binary_data_size"]
        for tensor in orjson.loads(payload.body[:length])["inputs"]
    ]

    assert sizes == [16, 5 + 9]
    assert payload.body[length:] == raw_bytes(TENSORS["x"]) + raw_bytes(TENSORS["word"])


@pytest.mark.parametrize("protocol", ["grpc", "grpc_stream"])
def test_encode_grpc_is_a_message_with_raw_tensors(protocol):
    message = service_pb2.ModelInferRequest.FromString(
        encode(SIGNATURE, TENSORS, protocol, "json").body
    )

    assert (message.model_name, [one.name for one in message.inputs]) == ("m", ["x", "word"])
    assert list(message.inputs[0].shape) == [2, 2]
    assert message.raw_input_contents[1] == b"\x01\x00\x00\x00a\x05\x00\x00\x00gr\xc3\xbcn"


def test_encode_leaves_out_inputs_without_a_tensor():
    payload = encode(SIGNATURE, {"x": TENSORS["x"]}, "http", "json")

    assert [tensor["name"] for tensor in orjson.loads(payload.body)["inputs"]] == ["x"]
