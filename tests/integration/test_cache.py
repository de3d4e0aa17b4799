"""Answers that are kept, as clients meet them: over every transport, in every encoding."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc

from serve.errors import Code
from tests.support.gate import KEPT, PATIENCE_S
from tests.support.running import RunningApp, free_ports, running
from tests.support.transports import GrpcTransport, HttpTransport, Refused, Transport
from tests.support.triton_repository import write

POISON = 13.0

MODEL = """
from tests.support.gate import KEPT

class Model:
    def load(self, context):
        self.runs = 0

    def predict(self, inputs):
        x = inputs["x"]
        KEPT.pass_through(len(x))
        if (x == 13).any():
            raise ValueError("the thirteenth")
        self.runs += 1
        return {"y": 2 * x, "run": x * 0 + self.runs, "text": [[f"{v:g}"] for v in x[:, 0]]}
"""

TENSORS = """
inputs: {x: {datatype: FP32, shape: [-1, 1]}}
outputs:
  y: {datatype: FP32, shape: [-1, 1], labels: [only]}
  run: {datatype: FP32, shape: [-1, 1]}
  text: {datatype: BYTES, shape: [-1, 1]}
"""

TRITON = """
backend: "python" max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [
  { name: "y" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "run" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "text" data_type: TYPE_STRING dims: [ 1 ] }
]
response_cache { enable: true }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    root = tmp_path_factory.mktemp("cached")
    for name, settings in (("kept", "cache: {}"), ("plain", "")):
        write(root, f"{name}/1/model.py", MODEL)
        write(root, f"{name}/model.yaml", TENSORS + settings)
    write(root, "triton/1/model.py", MODEL)
    write(root, "triton/config.pbtxt", TRITON)
    with running(root) as server:
        yield server


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: RunningApp) -> Iterator[Transport]:
    client: Transport
    client = HttpTransport(server.http) if request.param == "http" else GrpcTransport(server.grpc)
    yield client
    client.close()


@pytest.fixture
def number(numbers: Iterator[float]) -> float:
    """One that nobody has asked for before."""
    return next(numbers)


@pytest.fixture(scope="module")
def numbers() -> Iterator[float]:
    return iter(np.arange(100.0, 10_000.0).tolist())


@pytest.fixture(autouse=True)
def nothing_is_left(server: RunningApp) -> Iterator[None]:
    yield
    KEPT.open()
    until(lambda: server.metric("penstock_in_flight_requests") == 0)
    until(lambda: server.metric("penstock_http_inflight_bytes") == 0)


def until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s, "it did not come to pass"


def outcome(server: RunningApp, outcome: str, model: str = "kept") -> float:
    return server.metric("penstock_cache_requests_total", model=model, outcome=outcome)


def ask(client: Transport, number: float, model: str = "kept", **options: Any) -> Any:
    return client.infer(model, {"x": np.array([[number]], np.float32)}, **options)


def message(number: float, **more: Any) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [number]}
    return {"inputs": [tensor], **more}


def test_answer_comes_again_with_the_identifier_of_who_asks(
    client: Transport, number: float
) -> None:
    first, again = (ask(client, number, request_id=name) for name in ("a", "b"))
    assert (first.id, again.id, again.model_version) == ("a", "b", "1")
    assert again.outputs["y"].tolist() == [[2 * number]]
    assert again.outputs["text"].tolist() == [[f"{number:g}".encode()]]
    assert again.outputs["run"] == first.outputs["run"]


def test_model_without_a_cache_runs_each_time(client: Transport, number: float) -> None:
    first, again = (ask(client, number, "plain") for _ in range(2))
    assert again.outputs["run"] == first.outputs["run"] + 1


def test_transports_and_encodings_have_the_same_answers(
    server: RunningApp, client: Transport, number: float
) -> None:
    run = ask(client, number).outputs["run"].tolist()
    http, grpc = HttpTransport(server.http), GrpcTransport(server.grpc)
    for other in (http, grpc):
        assert ask(other, number).outputs["run"].tolist() == run
    replies = [http.send("kept", message(number, id=str(time))) for time in range(2)]
    for reply in replies:
        outputs = {output["name"]: output["data"] for output in reply["outputs"]}
        assert outputs == {"y": [2 * number], "run": run[0], "text": [f"{number:g}"]}
    assert [reply["id"] for reply in replies] == ["0", "1"]
    for other in (http, grpc):
        other.close()


def test_outputs_are_chosen_and_classified_from_the_same_answer(
    client: Transport, number: float
) -> None:
    whole = ask(client, number)
    assert list(ask(client, number, outputs=["run"]).outputs) == ["run"]
    classes = ask(client, number, outputs=["y"], classes=1).outputs["y"]
    assert classes.tolist() == [[f"{2 * number}:0:only".encode()]]
    assert ask(client, number, outputs=["run"]).outputs["run"] == whole.outputs["run"]


def test_request_that_bypasses_the_cache_runs_the_model(client: Transport, number: float) -> None:
    first = ask(client, number)
    fresh = ask(client, number, parameters={"response_cache": False})
    assert fresh.outputs["run"] > first.outputs["run"]
    assert ask(client, number).outputs["run"] == first.outputs["run"]


def test_bypass_of_another_type_is_refused(client: Transport, number: float) -> None:
    with pytest.raises(Refused, match="response_cache") as error:
        ask(client, number, parameters={"response_cache": "no"})
    assert error.value.code is Code.INVALID_ARGUMENT


def test_error_is_not_kept(server: RunningApp, client: Transport) -> None:
    misses = outcome(server, "miss")
    for _ in range(2):
        with pytest.raises(Refused, match="thirteenth"):
            ask(client, POISON)
    assert outcome(server, "miss") == misses + 2


def test_identical_requests_under_way_run_the_model_once(
    server: RunningApp, client: Transport, number: float
) -> None:
    KEPT.shut()
    with ThreadPoolExecutor(8) as pool:
        joined = outcome(server, "joined")
        asked = [pool.submit(ask_alone, server, client.name, number) for _ in range(8)]
        until(lambda: outcome(server, "joined") == joined + 7)
        KEPT.open()
        runs = {answer.result(PATIENCE_S) for answer in asked}
    assert len(runs) == 1
    assert KEPT.batches == [1]


def test_client_that_leaves_takes_nothing_from_the_others(
    server: RunningApp, numbers: Iterator[float]
) -> None:
    number = next(numbers)
    KEPT.shut()
    leaving = tritonclient.grpc.InferenceServerClient(server.grpc)
    tensor = tritonclient.grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[number]], np.float32))
    call = leaving.async_infer("kept", [tensor], lambda result, error: None)
    KEPT.wait_until_entered()
    cancelled = server.metric("penstock_requests_total", model="kept", outcome="cancelled")
    joined = outcome(server, "joined")
    with ThreadPoolExecutor(1) as pool:
        staying: Future[float] = pool.submit(ask_alone, server, "http", number)
        until(lambda: outcome(server, "joined") == joined + 1)
        call.cancel()
        until(
            lambda: (
                server.metric("penstock_requests_total", model="kept", outcome="cancelled")
                == cancelled + 1
            )
        )
        KEPT.open()
        assert staying.result(PATIENCE_S) > 0
    assert KEPT.batches == [1]
    leaving.close()


def test_each_keeps_its_own_deadline(server: RunningApp, client: Transport, number: float) -> None:
    KEPT.shut()
    with ThreadPoolExecutor(1) as pool:
        patient: Future[float] = pool.submit(ask_alone, server, client.name, number)
        KEPT.wait_until_entered()
        with pytest.raises(Refused) as error:
            ask(client, number, timeout=50_000)
        assert error.value.code is Code.DEADLINE_EXCEEDED
        KEPT.open()
        assert patient.result(PATIENCE_S) > 0
    assert KEPT.batches == [1]


def test_requests_of_one_turn_are_told_apart(server: RunningApp, number: float) -> None:
    """What was kept, what is new and what comes twice, in one write."""
    http = HttpTransport(server.http)
    http.send("kept", message(number))
    values = [number, number + 0.25, number, number + 0.5, number + 0.25]
    answers = pipelined(server, [json.dumps(message(v, id=f"{v}")).encode() for v in values])
    assert [answer["id"] for answer in answers] == [f"{value}" for value in values]
    assert [answer["outputs"][0]["data"] for answer in answers] == [[2 * v] for v in values]
    runs = [answer["outputs"][1]["data"][0] for answer in answers]
    assert runs[0] == runs[2] < runs[1] == runs[4]
    http.close()


def test_stream_is_answered_from_what_is_kept(server: RunningApp, number: float) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    client = tritonclient.grpc.InferenceServerClient(server.grpc)
    client.start_stream(lambda result, error: answers.put(error or result))
    tensor = tritonclient.grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[number]], np.float32))
    for name in "abc":
        client.async_stream_infer("kept", [tensor], request_id=name)
    got = [answers.get(timeout=PATIENCE_S) for _ in range(3)]
    client.stop_stream()
    client.close()
    assert [result.get_response().id for result in got] == ["a", "b", "c"]
    assert len({result.as_numpy("run").item() for result in got}) == 1


def test_statistics_tell_hits_and_misses(
    client: Transport, number: float, numbers: Iterator[float]
) -> None:
    before, *_ = client.statistics("triton")
    for asked in (number, number, number, next(numbers)):
        ask(client, asked, "triton")
    after, *_ = client.statistics("triton")

    def grown(*path: str) -> int:
        values = []
        for reply in (before, after):
            for name in path:
                reply = reply.get(name, {})
            values.append(int(reply or 0))
        return values[1] - values[0]

    stats = "inference_stats"
    assert (grown(stats, "cache_hit", "count"), grown(stats, "cache_miss", "count")) == (2, 2)
    assert grown(stats, "cache_hit", "ns") > 0 and grown(stats, "cache_miss", "ns") > 0
    assert grown(stats, "success", "count") == 4
    assert grown("inference_count") == grown("execution_count") == 2


def test_configuration_says_that_answers_are_kept(client: Transport) -> None:
    assert client.config("triton")["response_cache"] == {"enable": True}
    assert "response_cache" not in client.config("plain")


def test_memory_is_bounded_and_told(tmp_path: Path) -> None:
    write(tmp_path, "small/1/model.py", MODEL)
    write(tmp_path, "small/model.yaml", TENSORS + "cache: {max_bytes: 4096}")
    with running(tmp_path) as server:
        client = HttpTransport(server.http)
        for number in range(8):
            ask(client, number, "small")
        kept = server.metric("penstock_cache_answers", model="small")
        assert 1 <= kept < 8
        assert 0 < server.metric("penstock_cache_bytes", model="small") <= 4096
        evicted = server.metric("penstock_cache_removals_total", model="small", reason="evicted")
        assert evicted == 8 - kept
        client.close()


def ask_alone(server: RunningApp, kind: str, number: float) -> float:
    """One request on a connection of its own; gives the number of the run that answered."""
    client: Transport
    client = HttpTransport(server.http) if kind == "http" else GrpcTransport(server.grpc)
    try:
        return float(ask(client, number).outputs["run"].item())
    finally:
        client.close()


def pipelined(server: RunningApp, bodies: list[bytes]) -> list[Any]:
    """Requests in one write on one connection; their answers in turn."""
    host, port = server.http.split(":")
    head = "POST /v2/models/kept/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        connection.sendall(b"".join(head.format(len(body)).encode() + body for body in bodies))
        answers = []
        with connection.makefile("rb") as stream:
            for _ in bodies:
                assert stream.readline().startswith(b"HTTP/1.1 200")
                headers = http.client.parse_headers(stream)
                answers.append(json.loads(stream.read(int(headers["Content-Length"]))))
    return answers


def test_version_that_is_loaded_again_starts_with_nothing(tmp_path: Path) -> None:
    write(tmp_path, "m/1/model.py", MODEL)
    write(tmp_path, "m/model.yaml", TENSORS + "cache: {ttl_s: null}")
    settings = free_ports(model_control_mode="explicit", load_model=("m",))
    with running(tmp_path, settings) as server:
        client = HttpTransport(server.http)
        for times in (1, 2):
            for _ in range(3):
                ask(client, 1, "m")
            assert outcome(server, "miss", "m") == times
            assert outcome(server, "hit", "m") == 2 * times
            write(tmp_path, "m/1/model.py", MODEL + f"\n# changed {times} times\n")
            client.load("m")
            until(lambda: server.metric("penstock_cache_answers", model="m") == 0)
        ask(client, 1, "m")
        assert server.metric("penstock_cache_bytes", model="m") > 0
        client.unload("m")
        until(lambda: server.metric("penstock_cache_bytes", model="m") == 0)
        client.close()
