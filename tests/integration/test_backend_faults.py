"""Models that raise, lie or hang, clients that leave: neighbours in the batch notice nothing."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from serve.errors import Code
from tests.support.gate import GATES, PATIENCE_S, Gate
from tests.support.running import RunningApp, running
from tests.support.transports import GrpcTransport, HttpTransport, Refused, Transport, grpc_request
from tests.support.triton_repository import write

POISON = 13.0  # also in the model

MODEL = """
from tests.support.gate import GATES

POISON = 13.0

class Model:
    def load(self, context):
        self.name = context.name

    def predict(self, inputs):
        x = inputs["x"]
        GATES[self.name].pass_through(len(x))
        if (x == POISON).any():
            if self.name == "raises":
                raise ValueError("the thirteenth")
            return {"y": x[:-1]}
        return {"y": 2 * x}
"""

SETTINGS = """
batching: {max_batch_size: 8}
inputs: {x: {datatype: FP32, shape: [-1, 1]}}
outputs: {y: {datatype: FP32, shape: [-1, 1]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    root = tmp_path_factory.mktemp("faulty")
    for name in GATES:
        write(root, f"{name}/1/model.py", MODEL)
        write(root, f"{name}/model.yaml", SETTINGS)
    with running(root) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left(server: RunningApp) -> Iterator[None]:
    """After each test nothing is in flight, and no task is left that was not there before."""
    before = server.task_count()
    yield
    for gate in GATES.values():
        gate.open()
    until(lambda: server.metric("penstock_in_flight_requests") == 0)
    until(lambda: server.metric("penstock_queue_rows") == 0)
    until(lambda: server.metric("penstock_running_batches") == 0)
    until(lambda: server.metric("penstock_http_inflight_bytes") == 0)
    until(lambda: server.task_count() <= before)


@pytest.fixture(params=["http", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s, "it did not come to pass"


def in_flight(server: RunningApp, model: str, count: int) -> Callable[[], bool]:
    return lambda: server.metric("penstock_in_flight_requests", model=model) == count


def message(number: float, **parameters: Any) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [number]}
    return {"inputs": [tensor], "parameters": parameters}


def ask(server: RunningApp, kind: str, model: str, number: float, **parameters: Any) -> float:
    """One request on a connection of its own; gives its one number."""
    client: Transport
    client = HttpTransport(server.http) if kind == "http" else GrpcTransport(server.grpc)
    try:
        tensor = np.array([[number]], np.float32)
        return float(client.infer(model, {"x": tensor}, **parameters).outputs["y"].item())
    finally:
        client.close()


def one_batch(
    server: RunningApp, pool: ThreadPoolExecutor, kind: str, model: str, numbers: list[float]
) -> list[Future[float]]:
    """Ask for all ``numbers`` such that they run together, and let them."""
    gate = GATES[model]
    gate.shut()
    first = pool.submit(ask, server, kind, model, 0.0)
    gate.wait_until_entered()
    answers = [pool.submit(ask, server, kind, model, number) for number in numbers]
    until(in_flight(server, model, len(numbers) + 1))
    gate.open()
    assert first.result(PATIENCE_S) == 0.0
    return answers


@pytest.mark.parametrize("model", ["raises", "short"])
def test_poisonous_request_fails_alone_in_a_shared_batch(
    server: RunningApp, pool: ThreadPoolExecutor, kind: str, model: str
) -> None:
    numbers = [1.0, 2.0, POISON, 4.0, 5.0]
    answers = one_batch(server, pool, kind, model, numbers)
    for number, answer in zip(numbers, answers, strict=True):
        if number == POISON:
            with pytest.raises(Refused, match=f"model '{model}'") as refused:
                answer.result(PATIENCE_S)
            assert refused.value.code is Code.INTERNAL
        else:
            assert answer.result(PATIENCE_S) == 2 * number
    assert 5 in GATES[model].batches, "they were meant to share a batch"


def test_poisonous_requests_alone_all_fail(
    server: RunningApp, pool: ThreadPoolExecutor, kind: str
) -> None:
    for answer in one_batch(server, pool, kind, "raises", [POISON] * 3):
        with pytest.raises(Refused, match="the thirteenth"):
            answer.result(PATIENCE_S)
    assert ask(server, kind, "raises", 1.0) == 2.0


def test_hanging_model_times_its_requests_out_while_others_answer(
    server: RunningApp, kind: str
) -> None:
    gate = GATES["hangs"]
    gate.shut()
    for timeout_us in (300_000, 2_000_000):  # the first hangs in the model, the second waits
        with pytest.raises(Refused, match="'hangs' did not answer within the deadline") as refused:
            ask(server, kind, "hangs", 1.0, timeout=timeout_us)
        assert refused.value.code is Code.DEADLINE_EXCEEDED
        assert ask(server, kind, "raises", 3.0) == 6.0
    assert gate.batches == [1], "what expired in the queue must not run"
    gate.open()
    until(in_flight(server, "hangs", 0))
    assert ask(server, kind, "hangs", 4.0) == 8.0


def grpc_calls(stub: Any, gate: Gate, server: RunningApp, count: int) -> list[Any]:
    """Calls under way: the first in the model, the others together in the queue."""
    gate.shut()
    calls = [stub.ModelInfer.future(grpc_request("hangs", message(0.0)), timeout=PATIENCE_S)]
    gate.wait_until_entered()
    for number in range(1, count):
        request = grpc_request("hangs", message(float(number)))
        calls.append(stub.ModelInfer.future(request, timeout=PATIENCE_S))
    until(in_flight(server, "hangs", count))
    return calls


@pytest.mark.parametrize("leaving", [0, 2])
def test_grpc_call_cancelled_among_others_leaves_them_their_answers(
    server: RunningApp, leaving: int
) -> None:
    gate = GATES["hangs"]
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls = grpc_calls(stub, gate, server, 5)
        calls[leaving].cancel()
        until(in_flight(server, "hangs", 4))
        gate.open()
        for number, call in enumerate(calls):
            if number != leaving:
                (content,) = call.result(PATIENCE_S).raw_output_contents
                assert np.frombuffer(content, np.float32).item() == 2 * number
    assert gate.batches == ([1, 4] if leaving == 0 else [1, 3])


def test_http_client_that_hangs_up_is_dropped_from_the_queue(
    server: RunningApp, pool: ThreadPoolExecutor
) -> None:
    gate = GATES["hangs"]
    gate.shut()
    first = pool.submit(ask, server, "http", "hangs", 1.0)
    gate.wait_until_entered()
    body = json.dumps(message(2.0)).encode()
    host, port = server.http.split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(4)]
    for leaver in sockets:
        leaver.sendall(
            b"POST /v2/models/hangs/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
    until(in_flight(server, "hangs", 5))
    for leaver in sockets:
        leaver.close()
    until(in_flight(server, "hangs", 1))
    gate.open()
    assert first.result(PATIENCE_S) == 2.0
    assert ask(server, "http", "hangs", 3.0) == 6.0
    assert gate.batches == [1, 1]


def test_grpc_channel_that_closes_withdraws_its_calls(server: RunningApp) -> None:
    gate = GATES["hangs"]
    channel = grpc.insecure_channel(server.grpc)
    grpc_calls(service_pb2_grpc.GRPCInferenceServiceStub(channel), gate, server, 6)
    channel.close()
    until(in_flight(server, "hangs", 0))
    gate.open()
    assert ask(server, "grpc", "hangs", 1.0) == 2.0
