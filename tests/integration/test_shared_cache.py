"""Two servers that share their answers in a real Redis, also when it goes away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.support.redis_server import RedisServer, need_redis
from tests.support.running import PATIENCE_S, RunningApp, free_ports, running
from tests.support.transports import GrpcTransport, HttpTransport, Transport
from tests.support.triton_repository import write

MODEL = """
class Model:
    def predict(self, inputs):
        x = inputs["x"]
        return {"y": 2 * x, "text": [[f"{v:g}"] for v in x[:, 0]]}
"""
SETTINGS = """
inputs: {x: {datatype: FP32, shape: [-1, 1]}}
outputs: {y: {datatype: FP32, shape: [-1, 1]}, text: {datatype: BYTES, shape: [-1, 1]}}
cache: {ttl_s: 600, shared: true}
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    need_redis()
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write(tmp_path, "models/m/1/model.py", MODEL)
    write(tmp_path, "models/m/model.yaml", SETTINGS)
    return tmp_path / "models"


@contextmanager
def serving(models: Path, redis: RedisServer, timeout_s: float = 10.0) -> Iterator[RunningApp]:
    settings = free_ports(cache_redis=redis.url, cache_redis_timeout_s=timeout_s)
    with running(models, settings) as server:
        yield server


def ask(server: RunningApp, number: float, kind: str = "http") -> None:
    """Ask, and look at what comes."""
    client: Transport
    client = HttpTransport(server.http) if kind == "http" else GrpcTransport(server.grpc)
    try:
        outputs = client.infer("m", {"x": np.array([[number]], np.float32)}).outputs
    finally:
        client.close()
    assert outputs["y"].tolist() == [[2 * number]]
    assert outputs["text"].tolist() == [[f"{number:g}".encode()]]


def until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s, "it did not come to pass"
        time.sleep(0.01)


def rows(server: RunningApp) -> float:
    """How many the model has run."""
    return server.metric("penstock_batch_rows_sum")


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_answer_of_one_server_is_that_of_another(
    kind: str, models: Path, redis: RedisServer
) -> None:
    with serving(models, redis) as one, serving(models, redis) as other:
        for number in range(5):
            ask(one, number, kind)
        until(lambda: redis.keys() == 5)
        for number in range(5):
            ask(other, number, kind)
        assert (rows(one), rows(other)) == (5, 0)
        assert other.metric("penstock_cache_shared_hits_total", model="m") == 5
        ask(other, 0, kind)
        assert other.metric("penstock_cache_requests_total", outcome="hit") == 6
        assert other.metric("penstock_cache_shared_hits_total", model="m") == 5


def test_answers_outlive_the_server_and_not_the_version(models: Path, redis: RedisServer) -> None:
    with serving(models, redis) as server:
        ask(server, 1)
        until(lambda: redis.keys() == 1)
    with serving(models, redis) as server:
        ask(server, 1)
        assert rows(server) == 0
    write(models, "m/1/model.py", MODEL + "\n# another\n")
    with serving(models, redis) as server:
        ask(server, 1)
        assert rows(server) == 1


def test_requests_go_on_without_redis_and_use_it_again(models: Path, redis: RedisServer) -> None:
    with serving(models, redis) as server:
        ask(server, 0)
        until(lambda: redis.keys() == 1)
        redis.stop()
        for number in range(1, 6):
            ask(server, number)
        assert rows(server) == 6
        assert server.metric("penstock_cache_shared_available") == 0
        assert server.metric("penstock_cache_shared_failures_total", reason="error") == 3
        ask(server, 3)
        assert rows(server) == 6, "what this process keeps is there as ever"
        redis.start()
        number = 100

        def answers_again() -> bool:
            nonlocal number
            number += 1
            ask(server, number)
            return server.metric("penstock_cache_shared_available") == 1

        until(answers_again)
        held = redis.keys()
        ask(server, 1000)
        until(lambda: redis.keys() == held + 1)


def test_rubbish_in_redis_is_not_an_answer(models: Path, redis: RedisServer) -> None:
    with serving(models, redis) as one, serving(models, redis) as other:
        ask(one, 1)
        until(lambda: redis.keys() == 1)
        redis.overwrite("rubbish")
        ask(other, 1)
        assert rows(other) == 1
