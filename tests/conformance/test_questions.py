"""Health, metadata, configuration, statistics and the repository, over both transports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from serve.errors import Code
from tests.support.transports import HttpTransport, Refused, Transport

UNKNOWN = "Request for unknown model: 'nobody' is not found"


def test_server_is_live_and_ready_though_one_model_is_broken(client: Transport) -> None:
    assert client.live()
    assert client.ready()


def test_server_metadata_names_the_extensions_served(client: Transport) -> None:
    reply = client.server_metadata()
    assert reply["name"] == "penstock"
    assert reply["version"]
    assert {"binary_tensor_data", "classification", "model_configuration"} <= set(
        reply["extensions"]
    )


def test_model_metadata_gives_the_signature_with_the_batch_dimension(client: Transport) -> None:
    reply = client.metadata("simple")
    assert reply["name"] == "simple"
    assert reply["versions"] == ["1"]
    assert reply["platform"] == "onnxruntime_onnx"
    inputs = [(i["name"], i["datatype"], [int(n) for n in i["shape"]]) for i in reply["inputs"]]
    assert inputs == [("INPUT0", "INT32", [-1, 16]), ("INPUT1", "INT32", [-1, 16])]
    assert [output["name"] for output in reply["outputs"]] == ["OUTPUT0", "OUTPUT1"]


def test_model_metadata_has_no_batch_dimension_when_the_model_has_none(client: Transport) -> None:
    shape = client.metadata("unbatched")["inputs"][0]["shape"]
    assert [int(n) for n in shape] == [16]


def test_model_metadata_lists_all_versions_whichever_is_asked(client: Transport) -> None:
    for version in ("", "1", "2"):
        assert client.metadata("two_versions", version)["versions"] == ["1", "2"]


def test_model_config_is_that_of_config_pbtxt(client: Transport) -> None:
    config = client.config("simple")
    assert config["name"] == "simple"
    assert config["max_batch_size"] == 8
    assert [item["data_type"] for item in config["input"]] == ["TYPE_INT32", "TYPE_INT32"]
    assert [int(n) for n in config["input"][0]["dims"]] == [16]


def test_statistics_count_rows_and_requests(client: Transport) -> None:
    def counts() -> tuple[int, int]:
        (stat,) = client.statistics("mlp")
        success = stat.get("inference_stats", {}).get("success", {})
        return int(stat.get("inference_count", 0)), int(success.get("count", 0))

    rows, requests = counts()
    client.infer("mlp", {"x": np.zeros((3, 30), np.float32)})
    assert counts() == (rows + 3, requests + 1)


def test_statistics_of_all_models_have_each_version_that_serves(client: Transport) -> None:
    stats = [(stat["name"], stat["version"]) for stat in client.statistics()]
    assert {("two_versions", "1"), ("two_versions", "2"), ("simple", "1")} <= set(stats)
    assert "broken" not in {name for name, _ in stats}


def test_repository_index_tells_why_the_broken_model_does_not_serve(client: Transport) -> None:
    entries = {entry["name"]: entry for entry in client.index()}
    assert entries["simple"]["state"] == "READY"
    assert entries["broken"]["state"] == "UNAVAILABLE"
    assert "model.onnx" in entries["broken"]["reason"]


def test_broken_model_is_not_ready_while_others_are(client: Transport) -> None:
    assert not client.model_ready("broken")
    assert client.model_ready("simple")
    assert client.model_ready("two_versions", "2")


def test_broken_model_refuses_inference_with_the_reason(client: Transport) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0.0]}
    with pytest.raises(Refused, match=r"Model 'broken' is not ready.*UNAVAILABLE") as refused:
        client.send("broken", {"inputs": [tensor]})
    assert refused.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize("question", ["metadata", "config", "statistics", "model_ready"])
def test_question_about_an_unknown_model_is_not_found(client: Transport, question: str) -> None:
    with pytest.raises(Refused) as refused:
        getattr(client, question)("nobody")
    assert refused.value.code is Code.NOT_FOUND
    assert refused.value.message == UNKNOWN


@pytest.mark.parametrize("question", ["metadata", "config", "statistics", "model_ready"])
def test_question_about_an_unknown_version_is_not_found(client: Transport, question: str) -> None:
    with pytest.raises(Refused, match="'simple' version 9 is not found") as refused:
        getattr(client, question)("simple", "9")
    assert refused.value.code is Code.NOT_FOUND


def test_inference_of_an_unknown_model_is_not_found(client: Transport) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [0.0]}
    with pytest.raises(Refused) as refused:
        client.send("nobody", {"inputs": [tensor]})
    assert (refused.value.code, refused.value.message) == (Code.NOT_FOUND, UNKNOWN)


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_model_control_is_refused_because_it_is_off(client: Transport, verb: str) -> None:
    with pytest.raises(Refused, match=f"failed to {verb} 'simple'") as refused:
        getattr(client, verb)("simple")
    assert refused.value.code is Code.UNAVAILABLE
    assert client.model_ready("simple")


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/simple/infer", 405),
        ("POST", "/v2/models/simple", 405),
        ("GET", "/v2/models/simple/versions/one", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("GET", "/v2/models/broken/ready", 400),
        ("GET", "/v2/models/broken/versions/1/ready", 503),
        ("GET", "/v2/models/simple/ready", 200),
        ("GET", "/v2/models/%73imple", 200),
        ("POST", "/v2/models/simple/generate", 501),
        ("GET", "/v2/systemsharedmemory/status", 501),
    ],
)
def test_http_route_has_the_status_of_the_protocol(
    http: HttpTransport, verb: str, path: str, status: int
) -> None:
    assert http.request(verb, path)[0] == status


def test_http_errors_are_json_with_one_text(http: HttpTransport) -> None:
    body: Any = json.loads(http.request("GET", "/v2/models/nobody")[1])
    assert body == {"error": UNKNOWN}
