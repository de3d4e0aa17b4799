"""Every route of the protocol, through a connection."""

import asyncio
import base64
import json

import numpy as np
import pytest

from serve.errors import Code
from serve.gateway.interface import Outcome
from serve.protocol.status import TRITON
from serve.repository.override import NO_OVERRIDE, Override
from tests.support.http import binary_body, get, infer_body, post


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("/v2", {"name": "penstock", "version": "1", "extensions": []}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/echo", {"name": "echo", "versions": [""]}),
        ("/v2/models/echo/versions/2", {"name": "echo", "versions": ["2"]}),
        ("/v2/models/echo/ready", {"name": "echo", "ready": True}),
        ("/v2/models/echo/versions/2/ready", {"name": "echo", "ready": True}),
        ("/v2/models/echo/config", {"name": "echo", "max_batch_size": 8}),
        ("/v2/models/echo/stats", {"model_stats": [{"name": "echo", "version": ""}]}),
        ("/v2/models/echo/versions/2/stats", {"model_stats": [{"name": "echo", "version": "2"}]}),
        ("/v2/models/stats", {"model_stats": [{"name": "", "version": ""}]}),
    ],
)
async def test_question_is_answered(wire, path, reply):
    wire.send(get(path))
    assert (wire.reply.status, wire.reply.json) == (200, reply)
    assert wire.reply.headers["content-type"] == "application/json"


async def test_unhealthy_server_is_503_and_400_when_triton_compatible(connect):
    ours, triton = connect(), connect(status=TRITON)
    ours.plane.ready = ours.plane.live = False
    for wire in (ours, triton):
        wire.send(get("/v2/health/ready") + get("/v2/health/live"))
    assert [reply.status for reply in ours.replies] == [503, 503]
    assert [reply.status for reply in triton.replies] == [400, 400]
    assert ours.replies[0].json == {"ready": False}


async def test_model_that_is_not_ready_is_400_and_its_version_503(wire):
    wire.plane.model_is_ready = False
    wire.send(get("/v2/models/echo/ready") + get("/v2/models/echo/versions/1/ready"))
    assert [reply.status for reply in wire.replies] == [400, 503]


async def test_unknown_model_is_not_found(wire):
    wire.send(get("/v2/models/nobody") + post(infer_body([1.0]), "/v2/models/nobody/infer"))
    assert [reply.status for reply in wire.replies] == [404, 404]
    assert wire.replies[1].json["error"] == "Request for unknown model: 'nobody' is not found"


async def test_unknown_path_is_not_found(wire):
    wire.send(get("/v3"))
    assert (wire.reply.status, wire.reply.json) == (404, {"error": "Not Found"})
    assert wire.plane.errors == [("http", Code.NOT_FOUND, "")]


@pytest.mark.parametrize(
    ("request_", "allow"),
    [
        (get("/v2/models/echo/infer"), "POST"),
        (post(b"", "/v2"), "GET, HEAD"),
        (get("/v2", "DELETE"), "GET, HEAD"),
        (get("/v2", "OPTIONS"), "GET, HEAD"),
    ],
)
async def test_wrong_verb_is_405_with_the_right_ones(wire, request_, allow):
    wire.send(request_)
    assert (wire.reply.status, wire.reply.headers["allow"]) == (405, allow)


async def test_version_in_the_path_reaches_the_request(wire):
    wire.send(post(infer_body([1.0]), "/v2/models/echo/versions/3/infer"))
    assert wire.plane.requests[0].model_version == "3"


async def test_binary_tensors_go_both_ways(wire):
    values = np.array([1.5, -2.5], np.float32)
    body, json_bytes = binary_body(values)
    wire.send(post(body, Inference_Header_Content_Length=str(json_bytes)))
    start = int(wire.reply.headers["inference-header-content-length"])
    assert wire.reply.body[start:] == values.tobytes()


async def test_raw_body_is_one_tensor(wire):
    values = np.array([1.5, -2.5], np.float32)
    wire.send(post(values.tobytes(), Inference_Header_Content_Length="0"))
    assert wire.plane.requests[0].inputs[0].array.ravel().tolist() == [1.5, -2.5]
    assert wire.reply.status == 200


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1e3", "\u00b2"])
async def test_json_length_out_of_range_is_refused(wire, length):
    wire.send(post(infer_body([1.0]), Inference_Header_Content_Length=length))
    assert wire.reply.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 5000])
async def test_bad_body_is_refused_and_the_connection_lives(wire, body):
    wire.send(post(body) + post(infer_body([1.0])))
    assert [reply.status for reply in wire.replies] == [400, 200]


async def test_request_id_is_echoed_when_it_is_fit_to_be(wire):
    wire.send(get("/v2", X_Request_Id="a b-1") + get("/v2", X_Request_Id="x" * 129))
    assert [reply.headers.get("x-request-id") for reply in wire.replies] == ["a b-1", None]


async def test_trace_context_reaches_the_request_when_well_formed(wire):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    wire.send(post(infer_body([1.0]), traceparent=trace) + post(infer_body([1.0]), traceparent="x"))
    assert [request.traceparent for request in wire.plane.requests] == [trace, ""]


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/main/index"])
async def test_repository_index_takes_an_optional_body(wire, path):
    wire.send(post(b"", path) + post(b'{"ready":true}', path) + post(b'{"ready":1}', path))
    await asyncio.sleep(0)
    assert [reply.status for reply in wire.replies] == [200, 200, 400]
    assert [reply.json[0]["ready_only"] for reply in wire.replies[:2]] == [False, True]


async def test_models_are_loaded_and_unloaded_on_request(wire):
    unload = b'{"parameters":{"unload_dependents":false}}'
    wire.send(post(b"{}", "/v2/repository/models/echo/load"))
    wire.send(post(unload, "/v2/repository/any/models/echo/unload"))
    await asyncio.sleep(0)
    assert [(reply.status, reply.body) for reply in wire.replies] == [(200, b""), (200, b"")]
    assert wire.plane.calls == [("load", "echo", NO_OVERRIDE), ("unload", "echo")]


async def test_feedback_is_counted_by_version(wire):
    outcomes = [{"model_version": "4", "outcome": 1}, {"model_version": "3", "outcome": 0.5}]
    body = json.dumps({"outcomes": outcomes}).encode()
    wire.send(post(body, "/v2/models/echo/feedback"))
    assert wire.reply.json == {"counted": 2}
    assert wire.plane.calls == [("feedback", "echo", [Outcome("4", 1.0), Outcome("3", 0.5)])]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{}", "outcomes"),
        (b'{"outcomes":[{"outcome":1}]}', "model_version"),
        (b'{"outcomes":[{"model_version":"1","outcome":"bought"}]}', "outcome"),
        (b'{"outcomes":[],"model":"x"}', "model"),
    ],
)
async def test_feedback_names_what_is_wrong(wire, body, named):
    wire.send(post(body, "/v2/models/echo/feedback"))
    assert wire.reply.status == 400
    assert named in wire.reply.json["error"]
    assert not wire.plane.calls


@pytest.mark.parametrize("size", [10, 100_000], ids=["small", "decoded_aside"])
async def test_load_brings_configuration_and_files_along(wire, size):
    content = b"x" * size
    parameters = {"config": "{}", "file:1/model.onnx": base64.b64encode(content).decode()}
    body = json.dumps({"parameters": parameters}).encode()
    wire.send(post(body, "/v2/repository/models/echo/load"))
    while not wire.replies:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    assert wire.reply.status == 200
    assert wire.plane.calls == [("load", "echo", Override("{}", {"1/model.onnx": content}))]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [({"force": True}, "force"), ({"config": "{}", "file:1/model.onnx": "***"}, "base64")],
)
async def test_load_says_which_parameter_is_wrong(wire, parameters, named):
    body = json.dumps({"parameters": parameters}).encode()
    wire.send(post(body, "/v2/repository/models/echo/load"))
    assert wire.reply.status == 400
    assert named in wire.reply.json["error"]
    assert not wire.plane.calls


@pytest.mark.parametrize(
    "request_",
    [
        get("/v2/logging"),
        post(b"{}", "/v2/logging"),
        get("/v2/trace/setting"),
        post(b"{}", "/v2/models/echo/trace/setting"),
        get("/v2/systemsharedmemory/status"),
        get("/v2/cudasharedmemory/region/r/status"),
        post(b"{}", "/v2/systemsharedmemory/region/r/register"),
        post(b"", "/v2/cudasharedmemory/unregister"),
        post(b"{}", "/v2/models/echo/generate"),
        post(b"{}", "/v2/models/echo/versions/1/generate_stream"),
    ],
)
async def test_extension_that_is_not_offered_says_so(wire, request_):
    wire.send(request_)
    assert wire.reply.status == 501
    assert "not offered" in wire.reply.json["error"]
