"""Recorded requests are sent as they were, or as another protocol has them."""

import base64
import json

import pytest
from tritonclient.grpc import service_pb2

from benchmarks.inputs.evaluation import DataError
from benchmarks.inputs.recorded import read

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 1], "data": [0.5, None]}]}


@pytest.fixture
def write(tmp_path):
    def write_lines(*lines, name="requests.jsonl"):
        file = tmp_path / name
        file.write_text(
            "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
        )
        return file

    return write_lines


def test_read_takes_a_body_a_line(write):
    first, second = read(write(BODY, "", {**BODY, "id": "b"}), "m", "http", "json")

    assert (first.path, first.rows, first.name) == ("/v2/models/m/infer", 2, "recorded-1")
    assert (json.loads(second.body)["id"], second.name) == ("b", "recorded-3")


def test_read_takes_path_headers_and_any_bytes(write):
    line = {
        "path": "/other",
        "headers": {"X-Tenant": "a"},
        "body_base64": base64.b64encode(b"\x00\x01").decode(),
    }

    (payload,) = read(write(line), "m", "http", "json")

    assert (payload.path, payload.headers, payload.body) == (
        "/other",
        (("X-Tenant", "a"),),
        b"\0\1",
    )


def test_read_sends_a_json_body_over_grpc(write):
    (payload,) = read(write(BODY), "m", "grpc", "json")
    message = service_pb2.ModelInferRequest.FromString(payload.body)

    assert (message.model_name, list(message.inputs[0].shape)) == ("m", [2, 1])
    assert message.raw_input_contents[0] == b"\x00\x00\x00?\x00\x00\xc0\x7f"  # 0.5, NaN


def test_read_sends_a_json_body_in_binary(write):
    (payload,) = read(write({"headers": {"X-Tenant": "a"}, "body": BODY}), "m", "http", "binary")

    assert dict(payload.headers)["X-Tenant"] == "a"
    assert payload.body.endswith(b"\x00\x00\xc0\x7f")


@pytest.mark.parametrize(("protocol", "encoding"), [("grpc", "json"), ("http", "binary")])
def test_read_leaves_out_an_input_of_nothing_but_gaps(write, protocol, encoding):
    gap = {"name": "gap", "datatype": "FP32", "shape": [1, 1], "data": [None]}

    (payload,) = read(write({"inputs": [*BODY["inputs"], gap]}), "m", protocol, encoding)

    assert b"gap" not in payload.body


def test_read_takes_a_recorded_grpc_message(write):
    line = {"grpc_base64": base64.b64encode(b"message").decode()}

    assert read(write(line), "m", "grpc", "json")[0].body == b"message"


def test_read_takes_a_whole_file_as_one_request(write):
    file = write(json.dumps(BODY, indent=2), name="request.json")

    assert len(read(file, "m", "http", "json")) == 1


@pytest.mark.parametrize(
    ("line", "protocol", "why"),
    [
        ("{", "http", "line 1"),
        ({"bodi": {}}, "http", "bodi"),
        ({"grpc_base64": "AA=="}, "http", "cannot go by http"),
        ({"body_base64": "AA=="}, "grpc", "cannot go by grpc"),
        ("", "http", "no requests"),
    ],
)
def test_read_says_which_line_it_does_not_understand(write, line, protocol, why):
    with pytest.raises(DataError, match=why):
        read(write(line), "m", protocol, "json")
