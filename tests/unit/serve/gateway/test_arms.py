"""What is counted of a version."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from serve.clock import NS_PER_MS, FakeClock
from serve.errors import Overloaded
from serve.gateway.arms import MANY, ArmCounter, score_output
from serve.gateway.future_answer import FutureAnswer
from serve.monitoring.metrics import VersionMetrics
from serve.tensors import Signature, TensorSpec
from serve.traffic.samples import latency_bin, score_bins
from tests.support.endpoints import Bench, request


def watched(bench: Bench) -> ArmCounter:
    counter = ArmCounter(bench.metrics, bench.clock)
    counter.score_index = 0
    bench.endpoint.observer = counter.observe
    return counter


async def test_latencies_scores_and_ends_of_requests_are_counted() -> None:
    bench = Bench(max_queue_rows=4)
    counter = watched(bench)
    for value in (1, 2, 3):
        bench.endpoint.submit(request(value), FutureAnswer())
        bench.clock.advance_ms(1)
    await bench.finish()
    bench.endpoint.submit(request(4), failed := FutureAnswer())
    await asyncio.sleep(0)
    bench.executor.fail()
    for value in range(4):
        bench.endpoint.submit(request(value), FutureAnswer())
    with pytest.raises(Overloaded):
        for value in range(9):
            bench.endpoint.submit(request(value), FutureAnswer())
    sample = counter.sample()
    assert failed.exception() is not None
    assert (sample.answered, sample.failed, sample.refused) == (3, 1, 1)
    assert sample.latencies == {latency_bin(ms * NS_PER_MS): 1 for ms in (1, 2, 3)}
    assert sample.scores == score_bins(np.array([2.0, 4.0, 6.0]))
    bench.live.close()


async def test_request_that_was_cancelled_has_no_latency() -> None:
    bench = Bench()
    counter = watched(bench)
    gone = bench.endpoint.submit(request(1), FutureAnswer())
    bench.endpoint.submit(request(2), FutureAnswer())
    await asyncio.sleep(0)
    gone.cancel()
    await bench.finish()
    sample = counter.sample()
    assert (sample.answered, sum(sample.latencies.values())) == (1, 1)


def counted(*outputs: np.ndarray) -> dict[int, int]:  # type: ignore[type-arg]
    counter = ArmCounter(VersionMetrics("m", "1"), FakeClock())
    counter.score_index = 0
    for output in outputs:
        counter.observe_scores([output])
    return dict(counter.sample().scores)


def test_score_is_the_last_number_of_a_row() -> None:
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5]], np.float16)
    assert counted(probabilities) == score_bins(np.array([0.25, 0.5]))
    assert counted(np.array(3.0)) == score_bins(np.array([3.0]))
    assert counted(np.zeros((0, 2)), np.zeros((2, 0))) == {}


def test_scores_are_copied_and_sorted_once_there_are_many() -> None:
    output = np.zeros((MANY // 2, 1))
    counter = ArmCounter(VersionMetrics("m", "1"), FakeClock())
    counter.score_index = 0
    for _ in range(3):
        counter.observe_scores([output])
        output[:] = math.nan  # its memory is used again
    assert counter.sample().scores == {0: MANY // 2, -(2**21): MANY}


def test_outcomes_are_summed_and_copies_are_not_requests() -> None:
    metrics = VersionMetrics("m", "1", successes=5, failures=3)
    metrics.refusals["queue_full"] = 4
    counter = ArmCounter(metrics, FakeClock())
    counter.copies_answered, counter.copies_failed, counter.copies_refused = 4, 2, 1
    counter.compared, counter.disagreed, counter.dropped, counter.shadow_failed = 4, 1, 7, 2
    for outcome in (1.0, 0.0, 3.0):
        counter.count_outcome(outcome)
    sample = counter.sample()
    assert (sample.answered, sample.failed, sample.refused) == (1, 1, 3)
    sums = sample.outcomes
    assert (sums.number, sums.total, sums.squares) == (3, 4.0, 10.0)
    told = counter.metrics(0.25)
    assert (told.weight, told.agreed, told.disagreed, told.failed, told.dropped) == (
        0.25,
        3,
        1,
        2,
        7,
    )
    assert (told.outcomes, told.outcome_sum) == (3, 4.0)


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, 2), ("label", 0), ("text", None), ("none", None), ("other", 3)]
)
def test_scores_are_in_the_first_output_of_floats_or_the_one_named(
    wanted: str | None, index: int | None
) -> None:
    outputs = [("label", "INT64"), ("text", "BYTES"), ("score", "FP16"), ("other", "FP32")]
    specs = tuple(TensorSpec(name, datatype, (-1, 1)) for name, datatype in outputs)
    assert score_output(Signature((), specs, batched=True), wanted) == index


def test_no_output_has_scores_where_none_is_of_floats() -> None:
    specs = (TensorSpec("label", "INT64", (-1, 1)),)
    assert score_output(Signature((), specs, batched=True), None) is None
