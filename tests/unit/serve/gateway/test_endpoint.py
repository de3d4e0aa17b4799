"""One version as requests meet it, with the executor in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from serve.clock import NS_PER_MS
from serve.errors import InvalidRequest, PenstockError, Unsupported
from serve.gateway.future_answer import FutureAnswer
from serve.scheduling.entry import Entry
from serve.tensors import Array, RequestedOutput
from tests.support.endpoints import Bench, Together, block, data, request


class Observations:
    """Notes what an observer is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, list[str], list[float]]] = []

    def __call__(
        self, entries: Sequence[Entry], answered: Sequence[Entry], outputs: list[Array]
    ) -> None:
        assert all(entry.done for entry in entries)
        ids = [entry.request.id for entry in answered]
        self.told.append((len(entries), ids, outputs[0].ravel().tolist()))


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


async def test_observer_is_told_of_each_batch_once_the_answers_are_out() -> None:
    bench = Bench()
    bench.endpoint.observer = observations = Observations()
    bench.endpoint.submit_block(block(1, 2), [FutureAnswer()] * 2, Together())
    await bench.finish()
    apart = FutureAnswer()
    apart.ticket = bench.endpoint.submit(request(3, id="c"), apart)
    gone = bench.endpoint.submit(request(4, id="d"), FutureAnswer())
    await asyncio.sleep(0)
    gone.cancel()
    await bench.finish()
    assert observations.told == [(2, ["1", "2"], [2, 4]), (2, ["c"], [6, 8])]
    assert data(apart) == [[6]]


async def test_observer_that_fails_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    bench, answer = Bench(), FutureAnswer()
    bench.endpoint.observer = lambda *_: 1 / 0
    bench.endpoint.submit(request(1), answer)
    await bench.finish()
    assert data(answer) == [[2]]
    assert bench.metrics.failures == 0
    assert "1 requests were not counted" in caplog.text
