"""Replicas follow the load on a real cluster: up, down, down to none, and up for a request."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ray_server import Load, RayServer, ray_server
from tests.support.triton_repository import write

PATIENCE_S = 90
POLL_S = 0.1

SLOW_IDENTITY = """
import time

class Model:
    def predict(self, inputs):
        time.sleep(0.05)
        return {"y": inputs["x"]}
"""
GATED_IDENTITY = """
import pathlib
import time

class Model:
    def load(self, context):
        while not pathlib.Path(context.parameters["gate"]).exists():
            time.sleep(0.05)

    def predict(self, inputs):
        return {"y": inputs["x"]}
"""
TENSORS = """
inputs: {x: {datatype: FP32, shape: [-1, 4]}}
outputs: {y: {datatype: FP32, shape: [-1, 4]}}
"""
SLOW = """
batching: {max_batch_size: 1}
autoscaling:
  min_replicas: 0
  max_replicas: 2
  target_utilisation: 1     # one that is always busy does, unless others wait for it
  upscale_delay_s: 0.5
  downscale_delay_s: 3
  look_back_s: 2
"""
GATED = """
autoscaling: {min_replicas: 0, downscale_delay_s: 1, look_back_s: 2, cold_start_timeout_s: 2}
"""
ROW = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file without which no replica of ``gated`` starts."""
    gate = tmp_path_factory.mktemp("gate") / "gate"
    gate.touch()
    return gate


@pytest.fixture(scope="module")
def server(gate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayServer]:
    root = tmp_path_factory.mktemp("autoscaling")
    write(root / "models", "slow/1/model.py", SLOW_IDENTITY)
    write(root / "models", "slow/model.yaml", TENSORS + SLOW)
    write(root / "models", "gated/1/model.py", GATED_IDENTITY)
    parameters = f"parameters: {{gate: {gate}}}\n"
    write(root / "models", "gated/model.yaml", TENSORS + GATED + parameters)
    with ray_server(root / "models", root / "server.log") as server:
        yield server


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it never was so"
        time.sleep(POLL_S)


def ask(server: RayServer, model: str) -> tuple[int, str | None, Any]:
    """Status, ``Retry-After`` and answer."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROW}
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE_S)
    try:
        connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
        response = connection.getresponse()
        return response.status, response.getheader("Retry-After"), json.loads(response.read())
    finally:
        connection.close()


def test_replicas_follow_the_load_and_no_answer_is_lost(server: RayServer) -> None:
    def replicas() -> int:
        return len(server.replicas("slow"))

    with Load(server.http, "slow", clients=1) as one:
        one.more(20)
        until(lambda: replicas() == 1)
        with Load(server.http, "slow", clients=8) as more:
            until(lambda: replicas() == 2)
            more.more(100)
        assert more.wrong == []
        until(lambda: replicas() == 1)
        one.more(20)
    assert one.wrong == []
    until(lambda: replicas() == 0)
    assert server.index()["slow", "1"] == ("READY", "")

    status, _, answer = ask(server, "slow")
    assert (status, answer["outputs"][0]["data"]) == (200, ROW)
    assert "model 'slow' version 1 has no replica: asking for one" in server.log()
    until(lambda: replicas() == 0)
    with Load(server.http, "slow", clients=8) as load:  # all of them wait for it
        load.more(100)
    assert load.wrong == []
    # Serve asks for the load of replicas that end, and calls one to wake it: nobody's business.
    assert "autoscaling stats failed" not in server.log()
    assert "CALL wake" not in server.log()


def test_first_request_does_not_wait_for_ever_for_a_replica_that_does_not_start(
    server: RayServer, gate: Path
) -> None:
    until(lambda: not server.replicas("gated"))
    gate.unlink()
    status, retry_after, answer = ask(server, "gated")
    assert (status, retry_after) == (503, "10")
    assert "autoscaling.cold_start_timeout_s" in answer["error"]
    gate.touch()
    until(lambda: ask(server, "gated")[0] == 200)
