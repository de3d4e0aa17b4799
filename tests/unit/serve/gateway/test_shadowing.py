"""Copies for a shadow: what they tell, and that nobody else notices them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from serve.clock import NS_PER_MS, FakeClock
from serve.config.traffic import Shadow
from serve.errors import NotReady
from serve.gateway import shadowing
from serve.gateway.arms import ArmCounter
from serve.gateway.dataplane import Gateway
from serve.gateway.endpoint import Endpoint
from serve.gateway.future_answer import FutureAnswer
from serve.gateway.shadowing import Shadowing
from serve.monitoring.metrics import ServerMetrics
from serve.repository.table import ModelTable
from serve.tensors import Array, InferRequest, Signature, Tensor, TensorSpec
from serve.traffic.samples import Sample, score_bins
from tests.support.endpoints import SPEC, Bench, Together, block, data, request
from tests.support.http import Wire, binary_body, infer_body, post

TEXT = Signature(
    (TensorSpec("x", "BYTES", (-1, -1)),), (TensorSpec("y", "BYTES", (-1, -1)),), batched=True
)


class Pair:
    """A version that answers, and its shadow."""

    def __init__(
        self,
        signature: Signature | None = None,
        shadow_rows: int = 4,
        queue_rows: int = 100,
        max_rows: int = 4,
        shadow_config: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.clock = FakeClock(NS_PER_MS)
        fields: dict[str, Any] = {"clock": self.clock}
        if signature is not None:
            fields["signature"] = signature
        self.primary = Bench("3", max_rows=max_rows, **fields)
        self.shadow = Bench(
            "4",
            max_rows=shadow_rows,
            max_queue_rows=queue_rows,
            **fields,
            **(shadow_config or {}),
        )
        self.counter = ArmCounter(self.shadow.metrics, self.clock)
        loop = asyncio.get_running_loop()
        self.shadowing = Shadowing(
            Shadow(to="4", **settings), self.shadow.live, self.counter, self.clock, loop
        )
        self.shadowing.follow(self.primary.endpoint)

    async def ask(self, *values: float) -> list[Any]:
        """Requests of one value each, in one batch, and their answers."""
        answers = [FutureAnswer() for _ in values]
        for value, answer in zip(values, answers, strict=True):
            self.primary.endpoint.submit(request(value), answer)
        await self.primary.finish()
        return [data(answer)[0][0] for answer in answers]

    async def copies(self) -> Array:
        """The next batch that the shadow is given; it has the one input."""
        await until(lambda: self.shadow.executor.batches)
        batch, _ = self.shadow.executor.batches[0]
        return batch.inputs[0]

    async def told(self, number: int) -> Sample:
        """What is known once so many copies have come to an end."""

        def ended() -> bool:
            sample = self.counter.sample()
            return sample.compared + sample.shadow_failed + sample.dropped >= number

        await until(ended)
        return self.counter.sample()


async def until(holds: Any) -> None:
    """Wait for a condition."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never held")


async def test_answers_that_agree_are_counted() -> None:
    pair = Pair()
    assert await pair.ask(1, 2, 3) == [2, 4, 6]
    assert (await pair.copies()).ravel().tolist() == [1, 2, 3]
    pair.shadow.executor.finish()
    sample = await pair.told(3)
    assert (sample.compared, sample.disagreed, sample.distance_sum) == (3, 0, 0)
    assert (sample.shadow_ns, sample.primary_ns) == (1000, 1000)  # 3 rows in 1000 ns, both
    assert (sample.answered, sample.latencies) == (0, {})


async def test_answers_that_differ_are_counted_with_their_distance() -> None:
    pair = Pair()
    await pair.ask(1, 2, 3)
    await pair.copies()
    pair.shadow.executor.finish([np.array([[2.001], [4.5], [np.nan]], np.float32)])
    sample = await pair.told(3)
    assert (sample.compared, sample.disagreed) == (3, 2)
    assert sample.distance_sum == pytest.approx(0.501, rel=1e-3)
    assert sample.distance_max == 0.5


async def test_copies_of_several_batches_are_run_together() -> None:
    pair = Pair(shadow_rows=8, max_rows=8)
    pair.primary.endpoint.submit_block(block(1, 2, 3, 4), [FutureAnswer()] * 4, Together())
    for value in (5, 6):
        pair.primary.endpoint.submit(request(value), FutureAnswer())
    pair.primary.endpoint.submit(request(7, 8), FutureAnswer())
    await pair.primary.finish()
    copies = await pair.copies()
    assert copies.ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    pair.shadow.executor.finish([copies * 2 + np.array([[0.0]] * 7 + [[9.0]], np.float32)])
    sample = await pair.told(7)
    assert (sample.compared, sample.disagreed, sample.distance_sum) == (7, 1, 9)


async def test_batch_of_copies_is_no_larger_than_the_shadow_takes() -> None:
    pair = Pair(shadow_rows=3)
    await pair.ask(1, 2, 3, 4)
    assert (await pair.copies()).ravel().tolist() == [1, 2, 3]
    assert len(pair.shadow.executor.batches) == 1  # one at a time
    pair.shadow.executor.finish()
    assert (await pair.copies()).ravel().tolist() == [4]
    pair.shadow.executor.finish()
    assert (await pair.told(4)).disagreed == 0


async def test_request_that_is_too_large_for_the_shadow_is_a_failure() -> None:
    pair = Pair(shadow_rows=2)
    pair.primary.endpoint.submit(request(1, 2, 3), FutureAnswer())
    await pair.primary.finish()
    assert (await pair.told(1)).shadow_failed == 1


async def test_texts_and_shapes_of_each_request_are_compared() -> None:
    pair = Pair(TEXT)

    def ask(*words: str) -> FutureAnswer:
        array = np.array([[word.encode() for word in words]], object)
        answer = FutureAnswer()
        wanted = InferRequest("m", "", [Tensor("x", "BYTES", array)])
        pair.primary.endpoint.submit(wanted, answer)
        return answer

    for words in (["a"], ["b"], ["c", "d"]):
        answer = ask(*words)
        await asyncio.sleep(0)
        while pair.primary.executor.batches:
            batch, _ = pair.primary.executor.batches[0]
            pair.primary.executor.finish([batch.inputs[0]])
        assert data(answer) == [[word.encode() for word in words]]
    for _ in range(2):  # different shapes do not share a batch
        copies = await pair.copies()
        pair.shadow.executor.finish([np.where(copies == b"b", "B", copies)])
        await asyncio.sleep(0)
    sample = await pair.told(3)
    assert (sample.compared, sample.disagreed, sample.distance_max) == (3, 1, 0)


async def test_copies_are_the_first_to_go_under_load() -> None:
    pair = Pair(max_pending_rows=6)
    waiting = [FutureAnswer() for _ in range(16)]
    pair.primary.endpoint.submit_block(block(*range(16)), waiting, together := Together())
    for _ in range(3):
        pair.primary.executor.finish()
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0.001)
        assert not pair.shadow.executor.batches  # a batch of the others still runs
    assert pair.counter.sample().dropped == 12 - 6
    pair.primary.executor.finish()
    assert (await pair.copies()).ravel().tolist() == [0, 1, 2, 3]
    pair.shadow.executor.finish()
    assert (await pair.copies()).ravel().tolist() == [4, 5]
    pair.shadow.executor.finish()
    sample = await pair.told(16)
    assert (sample.compared, sample.disagreed, sample.dropped) == (6, 0, 10)
    assert [count for _, count in together.calls] == [4, 4, 4, 4]


async def test_copies_that_would_fill_the_memory_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadowing, "MAX_WAITING_BYTES", 20)
    pair = Pair()
    pair.primary.endpoint.submit_block(block(1, 2, 3), [FutureAnswer()] * 3, Together())
    await pair.primary.finish()
    pair.primary.endpoint.submit_block(block(4, 5), [FutureAnswer()] * 2, Together())
    await pair.primary.finish()
    assert (await pair.copies()).ravel().tolist() == [4, 5]
    assert pair.counter.sample().dropped == 3


async def test_copies_go_behind_requests_that_name_the_shadow() -> None:
    pair = Pair()
    await pair.ask(1)
    await pair.copies()
    for value in (7, 8):
        pair.shadow.endpoint.submit(request(value), FutureAnswer())
    await pair.ask(2)
    pair.shadow.executor.finish()
    assert (await pair.copies()).ravel().tolist() == [7, 8]
    pair.shadow.executor.finish()
    assert (await pair.copies()).ravel().tolist() == [2]
    pair.shadow.executor.finish()
    sample = await pair.told(2)
    assert (sample.answered, sample.compared) == (2, 2)


async def test_shadow_that_refuses_drops_copies() -> None:
    pair = Pair(queue_rows=2)
    pair.shadow.endpoint.submit_block(block(1, 2, 3), [FutureAnswer()] * 3, Together())
    pair.shadow.endpoint.submit(request(4), FutureAnswer())
    assert await pair.ask(1, 2, 3) == [2, 4, 6]
    sample = await pair.told(2)
    assert (sample.dropped, sample.refused, sample.shadow_failed) == (2, 0, 0)
    pair.shadow.live.close()


async def test_shadow_that_fails_touches_nobody() -> None:
    pair = Pair()
    assert await pair.ask(1, 2) == [2, 4]
    await pair.copies()
    pair.shadow.executor.fail()
    for _ in range(2):  # each by itself, again
        await pair.copies()
        pair.shadow.executor.fail()
    sample = await pair.told(2)
    assert (sample.shadow_failed, sample.failed, sample.compared) == (2, 0, 0)
    assert await pair.ask(3) == [6]
    await pair.copies()
    pair.shadow.executor.finish()
    assert (await pair.told(3)).compared == 1
    assert pair.primary.metrics.failures == 0


async def test_shadow_that_hangs_touches_nobody() -> None:
    pair = Pair(max_pending_rows=2, shadow_config={"slo": {"timeout_ms": 10}})
    await pair.ask(1)
    await pair.copies()
    for value in range(5):
        assert await pair.ask(value) == [2 * value]
    assert len(pair.shadow.executor.batches) == 1
    assert pair.counter.sample().dropped == 3
    pair.clock.advance_ms(11)
    pair.shadow.live.batcher.sweep()
    sample = await pair.told(4)
    assert (sample.shadow_failed, sample.failed) == (1, 0)


async def test_shadow_that_was_unloaded_touches_nobody() -> None:
    pair = Pair()
    await pair.ask(1)
    await pair.copies()
    pair.shadow.live.close()
    assert await pair.ask(2) == [4]
    sample = await pair.told(2)
    assert (sample.shadow_failed, sample.failed) == (2, 0)
    with pytest.raises(NotReady):
        pair.shadow.endpoint.submit(request(1), FutureAnswer())


async def test_copies_are_forgotten_once_it_is_closed() -> None:
    pair = Pair()
    await pair.ask(1)
    await pair.copies()
    await pair.ask(2)
    pair.shadowing.close()
    assert await pair.ask(3) == [6]
    pair.shadow.executor.finish()
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not pair.shadow.executor.batches
    assert pair.counter.sample() == Sample()


async def test_copies_hold_on_to_nothing_that_was_received() -> None:
    pair = Pair()
    received = np.array([[1.0], [2.0]], np.float32)
    wanted = InferRequest("m", "", [Tensor("x", "FP32", received)])
    pair.primary.endpoint.submit(wanted, FutureAnswer())
    await asyncio.sleep(0)
    output = np.array([[2.0], [4.0]], np.float32)
    pair.primary.executor.finish([output])
    received[:], output[:] = 99, 99  # the memory is another's by now
    assert (await pair.copies()).ravel().tolist() == [1, 2]
    pair.shadow.executor.finish()
    assert (await pair.told(1)).disagreed == 0


async def test_only_a_share_is_copied() -> None:
    pair = Pair(percent=25.0, max_pending_rows=1000)
    for _ in range(100):
        pair.primary.endpoint.submit_block(block(1, 2, 3, 4), [FutureAnswer()] * 4, Together())
        await pair.primary.finish()
    compared = 0
    while (waiting := pair.shadow.executor.batches) or compared == 0:
        if waiting:
            compared += len(waiting[0][0].inputs[0])
            pair.shadow.executor.finish()
            await pair.told(compared)
        for _ in range(3):
            await asyncio.sleep(0)
    # 400 by chance of a quarter: six standard errors.
    assert abs(compared - 100) < 6 * np.sqrt(400 * 0.25 * 0.75)
    assert pair.counter.sample().disagreed == 0


async def test_cancelled_requests_are_not_copied() -> None:
    pair = Pair()
    gone = pair.primary.endpoint.submit(request(1), FutureAnswer())
    pair.primary.endpoint.submit(request(2), FutureAnswer())
    await asyncio.sleep(0)
    gone.cancel()
    pair.primary.executor.finish()
    assert (await pair.copies()).ravel().tolist() == [2]
    pair.shadow.executor.finish()
    assert (await pair.told(1)).disagreed == 0


async def test_parameters_are_copied_too() -> None:
    pair = Pair()
    pair.primary.endpoint.submit(request(1, parameters={"top": 5}), FutureAnswer())
    await pair.primary.finish()
    await pair.copies()
    ((batch, _),) = pair.shadow.executor.batches
    assert batch.parameters == ((1, {"top": 5}),)


async def test_scores_of_copies_are_the_shadows() -> None:
    pair = Pair()
    pair.counter.score_index = 0
    await pair.ask(1)
    await pair.copies()
    pair.shadow.executor.finish([np.array([[7.0]])])
    assert (await pair.told(1)).scores == score_bins(np.array([7.0]))


async def test_inputs_and_outputs_go_by_name() -> None:
    second = TensorSpec("z", "FP32", (-1, 1))
    mine = Signature((SPEC, second), (SPEC, second), batched=True)
    theirs = Signature((second, SPEC), (second, SPEC), batched=True)
    pair = Pair(mine)
    pair.shadow.live.signature = theirs
    pair.shadowing = Shadowing(
        Shadow(to="4"), pair.shadow.live, pair.counter, pair.clock, asyncio.get_running_loop()
    )
    pair.primary.endpoint.observer = None
    pair.shadowing.follow(pair.primary.endpoint)
    one, two = np.array([[1.0]], np.float32), np.array([[2.0]], np.float32)
    inputs = [Tensor("x", "FP32", one), Tensor("z", "FP32", two)]
    pair.primary.endpoint.submit(InferRequest("m", "", inputs), FutureAnswer())
    await asyncio.sleep(0)
    pair.primary.executor.finish([one * 10, two * 10])
    await pair.copies()
    ((batch, _),) = pair.shadow.executor.batches
    assert [array.ravel().tolist() for array in batch.inputs] == [[2], [1]]
    pair.shadow.executor.finish([two * 10, one * 10])
    assert (await pair.told(1)).disagreed == 0


async def test_model_without_a_batch_dimension_is_compared() -> None:
    spec = TensorSpec("x", "FP32", (3,))
    pair = Pair(Signature((spec,), (spec,), batched=False), shadow_rows=1, max_rows=1)
    array = np.arange(3, dtype=np.float32)
    answer = FutureAnswer()
    pair.primary.endpoint.submit(InferRequest("m", "", [Tensor("x", "FP32", array)]), answer)
    await pair.primary.finish()
    assert data(answer) == [0, 2, 4]
    await pair.copies()
    pair.shadow.executor.finish([array * 2 + 1])
    sample = await pair.told(1)
    assert (sample.compared, sample.disagreed, sample.distance_max) == (1, 1, 1)


async def test_large_answers_are_compared_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowing, "LARGE_BYTES", 1)
    pair = Pair()
    await pair.ask(1, 2)
    await pair.copies()
    pair.shadow.executor.finish([np.array([[2.0], [5.0]])])
    sample = await pair.told(2)
    assert (sample.compared, sample.disagreed) == (2, 1)


async def conversation(shadowed: bool) -> tuple[bytes, list[bytes], int]:
    """What a client is sent in answer to requests of all forms, and how many were copied."""
    pair = Pair(max_pending_rows=1000)
    if not shadowed:
        pair.primary.endpoint.observer = None
    table: ModelTable[Endpoint] = ModelTable()
    table.set_ready("m", 3, pair.primary.endpoint)
    plane: Any = Gateway(
        table, ServerMetrics(), pair.clock, server_name="penstock", epoch_offset_ns=0
    )
    wires = [Wire(plane)]
    wires += [Wire(plane, context=wires[0].context) for _ in range(3)]
    steps: list[Any] = []
    wires[0].context.call_soon = steps.append
    path = "/v2/models/m/infer"
    for round_ in range(3):
        for number, wire in enumerate(wires):
            value = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [number + round_]}
            fields = {"parameters": {"top": 1}} if number == 3 else {"id": f"{number}"}
            if round_ == 1:
                body, length = binary_body(np.array([[float(number)]], np.float32))
                wire.send(post(body, path, inference_header_content_length=str(length)))
            else:
                wire.send(post(json.dumps({"inputs": [value], **fields}).encode(), path))
        wires[0].send(post(infer_body([1.0]), path))  # of a wrong shape, behind one in its place
        for step in steps:
            step()
        steps.clear()
        for _ in range(10):
            await pair.primary.finish()
            if pair.shadow.executor.batches:
                pair.shadow.executor.fail() if round_ else pair.shadow.executor.finish()
    errors = [reply.body for wire in wires for reply in wire.replies if reply.status != 200]
    sent = b"|".join(bytes(wire.transport.written) for wire in wires)
    sample = pair.counter.sample()
    return sent, errors, sample.compared + sample.shadow_failed


async def test_what_clients_are_sent_is_the_same_with_a_shadow() -> None:
    with_shadow, errors, copied = await conversation(True)
    without, _, none = await conversation(False)
    assert with_shadow == without
    assert with_shadow.count(b"HTTP/1.1 200 OK") == 12
    assert len(errors) == 3
    assert copied > 0 == none
