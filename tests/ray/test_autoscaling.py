"""Replicas follow the load on a real cluster: up, down, down to none, and up for a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ray_server import Load, RayServer, post, ray_server
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
SETTINGS = """
inputs: {x: {datatype: FP32, shape: [-1, 4]}}
outputs: {y: {datatype: FP32, shape: [-1, 4]}}
batching: {max_batch_size: 1}
autoscaling:
  min_replicas: 0
  max_replicas: 2
  target_utilisation: 1     # one that is always busy does, unless others wait for it
  upscale_delay_s: 0.5
  downscale_delay_s: 3
  look_back_s: 2
"""
ROW = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RayServer]:
    write(tmp_path / "models", "slow/1/model.py", SLOW_IDENTITY)
    write(tmp_path / "models", "slow/model.yaml", SETTINGS)
    with ray_server(tmp_path / "models", tmp_path / "server.log") as server:
        yield server


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it never was so"
        time.sleep(POLL_S)


def ask(server: RayServer) -> Any:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROW}
    return post(server.http, "/v2/models/slow/infer", {"inputs": [tensor]})


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

    assert ask(server)["outputs"][0]["data"] == ROW
    assert "model 'slow' version 1 has no replica: asking for one" in server.log()
    until(lambda: replicas() == 0)
    with Load(server.http, "slow", clients=8) as load:  # all of them wait for it
        load.more(100)
    assert load.wrong == []
