"""One version as requests meet it, with the executor in the test's hands."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from serve.clock import NS_PER_MS, FakeClock
from serve.config import ModelConfig
from serve.errors import InvalidRequest, PenstockError, Unsupported
from serve.executors.live import LiveModel
from serve.gateway.endpoint import Endpoint
from serve.gateway.future_answer import FutureAnswer
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.batcher import Batcher
from serve.scheduling.cost import CostModel
from serve.scheduling.entry import Entry
from serve.scheduling.policy import Limits
from serve.tensors import (
    InferRequest,
    InferResponse,
    RequestBlock,
    RequestedOutput,
    Signature,
    Tensor,
    TensorSpec,
)
from tests.support.entries import ManualExecutor

SPEC = TensorSpec("x", "FP32", (-1, 1))
SIGNATURE = Signature((SPEC,), (TensorSpec("y", "FP32", (-1, 1)),), batched=True)


class Bench:
    """An endpoint of one FP32 input and output, at most 4 rows a batch."""

    def __init__(self, **config: Any) -> None:
        self.executor = ManualExecutor()
        metrics = VersionMetrics("m", "3")
        clock = FakeClock(NS_PER_MS)
        loop = asyncio.get_running_loop()
        cost = CostModel({4: NS_PER_MS})
        batcher = Batcher("m", Limits(4, 100), cost, self.executor, metrics, clock, loop)
        settings = ModelConfig(**config)
        live = LiveModel(
            "m", "3", settings, SIGNATURE, "python", "p", 4, batcher, self.executor, metrics
        )
        self.endpoint = Endpoint(live, clock)

    async def finish(self) -> None:
        await asyncio.sleep(0)
        while self.executor.batches:
            self.executor.finish()


def tensor(*values: float, missing: list[bool] | None = None) -> Tensor:
    mask = None if missing is None else np.array(missing).reshape(-1, 1)
    return Tensor("x", "FP32", np.array(values, np.float32).reshape(-1, 1), mask)


def request(*values: float, **fields: Any) -> InferRequest:
    return InferRequest("m", "", [tensor(*values)], **fields)


def block(*values: float, rows: int = 1, **fields: Any) -> RequestBlock:
    requests = [InferRequest("m", "", [], id=str(value)) for value in values[::rows]]
    return RequestBlock(requests, [tensor(*values, **fields)], rows)


class Together:
    """Notes the responses it is given, and marks their entries done."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[float], int]] = []

    def __call__(self, response: InferResponse, entries: Any) -> None:
        for entry in entries:
            entry.done = True
        self.calls.append((response.outputs[0].array.ravel().tolist(), len(entries)))


def data(answer: FutureAnswer) -> Any:
    return answer.result().outputs[0].array.tolist()


async def test_each_request_gets_its_own_rows() -> None:
    bench = Bench()
    answers = [FutureAnswer(), FutureAnswer()]
    bench.endpoint.submit(request(1, 2, id="a"), answers[0])
    bench.endpoint.submit(request(3), answers[1])
    await bench.finish()
    assert [data(answer) for answer in answers] == [[[2], [4]], [[6]]]
    assert [answer.result().id for answer in answers] == ["a", ""]
    assert answers[0].result().model_version == "3"


async def test_requests_that_want_everything_are_answered_together() -> None:
    bench, together, apart = Bench(), Together(), FutureAnswer()
    for value in (1, 2):
        bench.endpoint.submit(request(value), FutureAnswer(), together)
    bench.endpoint.submit(request(3, parameters={"top": 1}), apart, together)
    await bench.finish()
    assert together.calls == [([2, 4], 2)]
    assert data(apart) == [[6]]


async def test_block_is_answered_together() -> None:
    bench, together = Bench(), Together()
    sinks = [FutureAnswer() for _ in range(6)]
    outcomes = bench.endpoint.submit_block(block(*range(6)), sinks, together)
    assert all(isinstance(outcome, Entry) for outcome in outcomes)
    await bench.finish()
    assert together.calls == [([0, 2, 4, 6], 4), ([8, 10], 2)]


@pytest.mark.parametrize("config", [{}, {"inputs": {"x": {"range": [0, 9]}}}])
async def test_wrong_request_of_a_block_is_refused_alone(config: dict[str, Any]) -> None:
    bench, together = Bench(**config), Together()
    values = block(1, 2, 99, missing=[False, not config, False])
    outcomes = bench.endpoint.submit_block(values, [FutureAnswer()] * 3, together)
    wrong = [index for index, one in enumerate(outcomes) if isinstance(one, PenstockError)]
    assert wrong == [2 if config else 1]
    await bench.finish()
    assert sum(count for _, count in together.calls) == 2


async def test_block_of_requests_that_are_too_large_is_refused() -> None:
    bench = Bench()
    outcomes = bench.endpoint.submit_block(block(*range(10), rows=5), [FutureAnswer()] * 2, print)
    assert [str(one)[:35] for one in outcomes] == ["input 'x' has a batch of 5 rows, th"] * 2


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"outputs": [RequestedOutput("z")]}, InvalidRequest, "unexpected output 'z'"),
        ({"parameters": {"priority": -1}}, InvalidRequest, "'priority' must be a whole number"),
        ({"parameters": {"timeout": "1"}}, InvalidRequest, "'timeout' must be a whole number"),
        ({"parameters": {"sequence_id": 1}}, Unsupported, "sequence_id"),
    ],
)
async def test_request_is_refused_and_says_why(
    fields: dict[str, Any], error: type[PenstockError], says: str
) -> None:
    with pytest.raises(error, match=says):
        Bench().endpoint.submit(request(1, **fields), FutureAnswer())


async def test_timeout_parameter_moves_the_deadline_forward_only() -> None:
    endpoint = Bench(slo={"timeout_ms": 5}).endpoint
    plain = endpoint.submit(request(1), FutureAnswer())
    sooner = endpoint.submit(request(1, parameters={"timeout": 2000}), FutureAnswer())
    later = endpoint.submit(request(1, parameters={"timeout": 10**6}), FutureAnswer())
    deadlines_ms = [entry.deadline_ns / NS_PER_MS for entry in (plain, sooner, later)]
    assert deadlines_ms == [6, 3, 6]
    endpoint.live.close()


async def test_only_parameters_that_are_not_the_servers_reach_the_backend() -> None:
    bench = Bench()
    bench.endpoint.submit(request(1, parameters={"priority": 2, "top": 5}), FutureAnswer())
    await asyncio.sleep(0)
    ((batch, _),) = bench.executor.batches
    assert batch.parameters == ((1, {"top": 5}),)
