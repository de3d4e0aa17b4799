"""A version whose answers are kept, with the executor in the test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from serve.cache import SharedCache
from serve.clock import NS_PER_MS, NS_PER_S, FakeClock
from serve.config import ModelConfig
from serve.errors import BackendError, DeadlineExceeded, InvalidRequest, NotReady, Overloaded
from serve.executors.live import LiveModel
from serve.gateway.caching import CachingEndpoint, EndpointMaker
from serve.gateway.endpoint import Endpoint
from serve.gateway.future_answer import FutureAnswer
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.batcher import Batcher
from serve.scheduling.cost import CostModel
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

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 1)),), (TensorSpec("y", "FP32", (-1, 1)),), batched=True
)


class Shared:
    """A shared store that answers when the test says."""

    def __init__(self) -> None:
        self.available = True
        self.asked: list[tuple[bytes, Callable[[bytes | None], None]]] = []
        self.kept: dict[bytes, tuple[list[Any], int, int]] = {}
        self.age_ns = 0
        self.broken = False

    def lets_through(self) -> bool:
        return self.available

    def look_up(self, key: bytes, told: Callable[[bytes | None], None]) -> None:
        self.asked.append((key, told))

    def tell(self) -> None:
        """Tell all who have asked."""
        asked, self.asked = self.asked, []
        for key, told in asked:
            told(key if key in self.kept else None)

    def unpack(self, data: bytes, specs: Any, rows: int | None) -> tuple[list[Any], int, int]:
        if self.broken:
            raise ValueError("it is broken")
        outputs, took_ns, _ = self.kept[data]
        return outputs, self.age_ns, took_ns

    def keep(self, key: bytes, outputs: Any, specs: Any, took_ns: int, ttl_ns: int) -> None:
        self.kept[key] = ([array.copy() for array in outputs], took_ns, ttl_ns)


class Bench:
    """A version that doubles its input, at most 4 rows a batch, and keeps answers for 10 s."""

    def __init__(
        self, metrics: VersionMetrics | None = None, shared: Shared | None = None, **config: Any
    ) -> None:
        self.executor = ManualExecutor()
        self.metrics = metrics or VersionMetrics("m", "3")
        self.clock = FakeClock(NS_PER_MS)
        loop = asyncio.get_running_loop()
        limits = Limits(4, config.pop("max_queue_rows", 100))
        cost = CostModel({4: NS_PER_MS})
        batcher = Batcher("m", limits, cost, self.executor, self.metrics, self.clock, loop)
        config.setdefault("cache", {"ttl_s": 10, "shared": shared is not None})
        settings = ModelConfig(**config)
        self.live = LiveModel(
            "m", "3", settings, SIGNATURE, "python", "p", 4, batcher, self.executor, self.metrics
        )
        store = cast(SharedCache | None, shared)
        self.endpoint = EndpointMaker(2**20, loop, store)(self.live, self.clock)

    @property
    def cache(self) -> Any:
        assert self.metrics.cache is not None
        return self.metrics.cache

    def ask(self, value: float, **fields: Any) -> FutureAnswer:
        answer = FutureAnswer()
        answer.ticket = self.endpoint.submit(request(value, **fields), answer)
        return answer

    async def start(self) -> int:
        """Let what waits begin; how many batches are under way."""
        await asyncio.sleep(0)
        return len(self.executor.batches)

    async def finish(self) -> None:
        while await self.start():
            self.executor.finish()

    async def answered(self, value: float, **fields: Any) -> Any:
        answer = self.ask(value, **fields)
        await self.finish()
        return answer.result().outputs[0].array.tolist()

    def settled(self) -> bool:
        """Whether nothing is under way, by every count."""
        return self.metrics.in_flight == 0 and self.live.batcher.idle


def request(value: float, **fields: Any) -> InferRequest:
    tensor = Tensor("x", "FP32", np.array([[value]], np.float32))
    return InferRequest("m", "", [tensor], **fields)


def block(*values: float) -> RequestBlock:
    tensor = Tensor("x", "FP32", np.array(values, np.float32).reshape(-1, 1))
    return RequestBlock([InferRequest("m", "", [], id=str(v)) for v in values], [tensor], 1)


class Together:
    """Answers entries as a transport does: each sink is given its own rows."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, response: InferResponse, entries: Any) -> None:
        self.sizes.append(len(entries))
        for row, entry in enumerate(entries):
            if not entry.done:
                entry.done = True
                own = Tensor("y", "FP32", response.outputs[0].array[row : row + 1])
                entry.sink.answered(InferResponse("m", "3", [own], entry.request.id))


def values(answers: list[FutureAnswer]) -> list[float]:
    return [answer.result().outputs[0].array.item() for answer in answers]


async def test_only_a_model_that_asks_for_it_has_a_cache() -> None:
    assert type(Bench(cache=None).endpoint) is Endpoint
    assert type(Bench().endpoint) is CachingEndpoint


async def test_request_that_comes_again_does_not_run_the_model() -> None:
    bench = Bench()
    assert await bench.answered(1, id="a") == [[2]]
    again = bench.ask(1, id="b")
    assert again.done() and again.result().id == "b"
    assert values([again]) == [2]
    assert bench.metrics.rows == 1
    assert (bench.cache.hits, bench.cache.misses) == (1, 1)
    assert bench.metrics.successes == 2 and bench.settled()


async def test_answer_at_once_is_held_by_nothing() -> None:
    bench = Bench()
    await bench.answered(1)
    again = bench.ask(1)
    assert again.ticket is not None
    again.ticket.cancel()
    assert bench.metrics.cancellations == 0
    assert not hasattr(again.ticket, "sink")


async def test_answer_is_used_no_more_when_it_is_too_old() -> None:
    bench = Bench()
    await bench.answered(1)
    bench.clock.advance_ms(9_999)
    assert bench.ask(1).done()
    bench.clock.advance_ms(1)
    assert not bench.ask(1).done()
    assert bench.cache.expired == 1
    await bench.finish()


async def test_saved_time_is_what_the_answer_took() -> None:
    bench = Bench()
    bench.ask(1)
    await bench.start()
    bench.clock.advance_ms(7)
    bench.executor.finish()
    bench.ask(1)
    bench.ask(1)
    assert bench.cache.saved_ns == 14 * NS_PER_MS


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "other"},
        {"deadline_ns": NS_PER_S},
        {"parameters": {"priority": 5, "timeout": 10**6, "binary_data_output": True}},
        {"protocol": "grpc"},
        {"outputs": [RequestedOutput("y")]},
        {"outputs": [RequestedOutput("y", classification=1)]},
        {"parameters": {"response_cache": True}},
    ],
)
async def test_what_the_model_does_not_see_does_not_matter(fields: dict[str, Any]) -> None:
    bench = Bench(outputs={"y": {"labels": ["no"]}})
    await bench.answered(1)
    answer = bench.ask(1, **fields)
    assert answer.done()
    wanted: Any = [[2]]
    if fields.get("outputs") and fields["outputs"][0].classification:
        wanted = [[b"2.0:0:no"]]
    assert answer.result().outputs[0].array.tolist() == wanted


async def test_parameter_of_the_backend_is_part_of_what_is_asked() -> None:
    bench = Bench()
    await bench.answered(1)
    assert not bench.ask(1, parameters={"top": 5}).done()
    await bench.finish()
    assert bench.ask(1, parameters={"top": 5}).done()


async def test_request_that_says_so_runs_and_leaves_nothing() -> None:
    bench = Bench()
    await bench.answered(1)
    for value in (1, 2):
        assert not bench.ask(value, parameters={"response_cache": False}).done()
    await bench.finish()
    assert not bench.ask(2).done()
    assert (bench.cache.bypassed, bench.metrics.rows) == (2, 3)
    await bench.finish()


async def test_bypass_that_is_no_bool_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'response_cache' must be true or false, got 0"):
        Bench().ask(1, parameters={"response_cache": 0})


async def test_wrong_request_is_refused_whatever_is_kept() -> None:
    bench = Bench(inputs={"x": {"range": [0, 5]}})
    with pytest.raises(InvalidRequest):
        bench.ask(9)
    assert bench.metrics.in_flight == 0


async def test_identical_requests_under_way_run_the_model_once() -> None:
    bench = Bench()
    answers = [bench.ask(1, id=str(number)) for number in range(5)]
    other = bench.ask(2)
    assert bench.metrics.in_flight == 6
    assert await bench.start() == 1
    late = bench.ask(1)
    await bench.finish()
    assert values([*answers, late, other]) == [2] * 6 + [4]
    assert [answer.result().id for answer in answers] == ["0", "1", "2", "3", "4"]
    assert bench.metrics.rows == 2
    assert (bench.cache.joined, bench.cache.misses, bench.metrics.successes) == (5, 2, 7)
    assert bench.settled()


async def test_first_may_go_and_the_others_are_answered_by_its_run() -> None:
    bench = Bench()
    first, second, third = (bench.ask(1) for _ in range(3))
    await bench.start()
    first.cancel()
    second.cancel()
    await bench.finish()
    assert values([third]) == [2]
    assert bench.metrics.rows == 1
    assert (bench.metrics.cancellations, bench.metrics.successes) == (2, 1)
    assert bench.settled()


async def test_run_goes_when_the_last_who_waits_does() -> None:
    bench = Bench()
    answers = [bench.ask(1) for _ in range(2)]
    for answer in answers:
        answer.cancel()
    assert await bench.start() == 0
    assert (bench.metrics.cancellations, bench.metrics.rows) == (2, 0)
    assert bench.settled()
    assert await bench.answered(1) == [[2]]


async def test_cancelled_run_is_not_that_of_a_new_request() -> None:
    bench = Bench()
    gone = bench.ask(1)
    await bench.start()
    gone.cancel()
    new = bench.ask(1)
    await bench.finish()
    assert values([new]) == [2]
    assert bench.settled()


@pytest.mark.parametrize("early", [0, 1], ids=["first", "second"])
async def test_each_keeps_its_own_deadline(early: int) -> None:
    bench = Bench()
    deadlines_ns = [NS_PER_S * 20, NS_PER_S * 20]
    deadlines_ns[early] = 5 * NS_PER_MS
    answers = [bench.ask(1, deadline_ns=deadline_ns) for deadline_ns in deadlines_ns]
    await bench.start()
    bench.clock.advance_ms(5)
    await until(answers[early].done)
    with pytest.raises(DeadlineExceeded, match="waited 5 ms"):
        answers[early].result()
    assert not answers[1 - early].done()
    await bench.finish()
    assert values([answers[1 - early]]) == [2]
    assert (bench.metrics.failures, bench.metrics.successes, bench.metrics.rows) == (1, 1, 1)
    assert bench.settled()


async def test_last_deadline_ends_the_run() -> None:
    bench = Bench()
    answers = [bench.ask(1, deadline_ns=ms * NS_PER_MS) for ms in (5, 8)]
    await bench.start()
    bench.clock.advance_ms(10)
    bench.live.batcher.sweep()
    await until(lambda: all(answer.done() for answer in answers))
    assert [type(answer.exception()) for answer in answers] == [DeadlineExceeded] * 2
    assert bench.metrics.in_flight == 0 and bench.metrics.failures == 2
    bench.executor.finish()
    assert not bench.ask(1).done()
    await bench.finish()


async def test_deadline_of_the_last_one_left_ends_the_run() -> None:
    bench = Bench()
    late = bench.ask(1, deadline_ns=10 * NS_PER_S)
    early = bench.ask(1, deadline_ns=5 * NS_PER_MS)
    await bench.start()
    late.cancel()
    bench.clock.advance_ms(5)
    await until(early.done)
    assert isinstance(early.exception(), DeadlineExceeded)
    assert (bench.metrics.failures, bench.metrics.cancellations) == (1, 1)
    assert bench.metrics.in_flight == 0


async def test_failure_is_that_of_one_and_the_others_run_for_themselves() -> None:
    bench = Bench()
    answers = [bench.ask(1) for _ in range(3)]
    await bench.start()
    bench.executor.fail()
    await bench.finish()
    assert isinstance(answers[0].exception(), BackendError)
    assert values(answers[1:]) == [2, 2]
    assert (bench.metrics.failures, bench.metrics.successes) == (1, 2)
    assert bench.settled()


async def test_error_is_never_kept() -> None:
    bench = Bench()
    failed = bench.ask(1)
    await bench.start()
    bench.executor.fail()
    assert isinstance(failed.exception(), BackendError)
    assert await bench.answered(1) == [[2]]
    assert bench.cache.misses == 2


async def test_unloading_tells_all_who_wait() -> None:
    bench = Bench()
    answers = [bench.ask(1) for _ in range(3)]
    await bench.start()
    bench.live.close()
    assert [type(answer.exception()) for answer in answers] == [NotReady] * 3
    assert bench.metrics.in_flight == 0


async def test_refused_request_leaves_nothing_to_join() -> None:
    bench = Bench(max_queue_rows=1)
    bench.ask(1)
    await bench.start()
    bench.ask(2)
    for _ in range(2):
        with pytest.raises(Overloaded):
            bench.ask(3)
    assert bench.metrics.in_flight == 2
    bench.ask(2)  # joins, and needs no place in the queue
    await bench.finish()
    assert bench.settled()


async def test_version_that_is_loaded_again_starts_with_nothing() -> None:
    old = Bench()
    await old.answered(1)
    new = Bench(old.metrics)
    old.live.close()
    assert (new.cache.answers, new.cache.held_bytes) == (0, 0)
    assert not new.ask(1).done()
    await new.finish()
    assert new.cache.answers == 1


async def test_block_of_new_requests_runs_as_it_came() -> None:
    bench, together = Bench(), Together()
    answers = [FutureAnswer() for _ in range(4)]
    bench.endpoint.submit_block(block(1, 2, 3, 4), answers, together)
    await bench.finish()
    assert values(answers) == [2, 4, 6, 8]
    assert together.sizes == [4]
    assert bench.settled()


async def test_block_runs_only_what_is_new_and_each_of_it_once() -> None:
    bench, together = Bench(), Together()
    await bench.answered(3)
    alone = bench.ask(7)
    answers = [FutureAnswer() for _ in range(7)]
    tickets = bench.endpoint.submit_block(block(3, 1, 7, 3, 2, 1, 5), answers, together)
    assert [answer.done() for answer in answers] == [True, False, False, True] + [False] * 3
    assert len(tickets) == 7
    await bench.finish()
    assert values([*answers, alone]) == [6, 2, 14, 6, 4, 2, 10, 14]
    assert [answer.result().id for answer in answers][:3] == ["3", "1", "7"]
    assert bench.metrics.rows == 5
    assert (bench.cache.hits, bench.cache.joined, bench.cache.misses) == (2, 2, 5)
    assert together.sizes[0] == 2
    assert bench.settled()


async def test_refused_part_of_a_block_is_told_to_all_who_joined_it() -> None:
    bench, together = Bench(max_queue_rows=1), Together()
    bench.ask(9)
    await bench.start()
    answers = [FutureAnswer() for _ in range(4)]
    bench.endpoint.submit_block(block(1, 2, 2, 1), answers, together)
    assert [type(a.exception()) if a.done() else None for a in answers] == [
        None,
        Overloaded,
        Overloaded,
        None,
    ]
    await bench.finish()
    assert values([answers[0], answers[3]]) == [2, 2]
    assert bench.settled()


async def test_requests_of_a_block_are_cancelled_one_by_one() -> None:
    bench, together = Bench(), Together()
    answers = [FutureAnswer() for _ in range(4)]
    tickets = bench.endpoint.submit_block(block(1, 1, 2, 3), answers, together)
    for index in (0, 2):
        tickets[index].cancel()  # type: ignore[union-attr]
    await bench.finish()
    assert [answer.done() for answer in answers] == [False, True, False, True]
    assert values([answers[1], answers[3]]) == [2, 6]
    assert bench.metrics.cancellations == 2
    assert bench.settled()


async def test_answer_is_shared_when_it_is_made() -> None:
    shared = Shared()
    bench = Bench(shared=shared)
    answer = bench.ask(1)
    assert await bench.start() == 0, "nothing runs before the store has answered"
    assert not bench.live.batcher.idle
    shared.tell()
    await bench.finish()
    assert values([answer]) == [2]
    ((outputs, _, ttl_ns),) = shared.kept.values()
    assert (outputs[0].tolist(), ttl_ns) == ([[2]], 10 * NS_PER_S)
    assert bench.ask(1).done() and not shared.asked
    assert bench.settled()


async def test_answer_that_another_server_made_runs_nothing() -> None:
    shared = Shared()
    first, second = Bench(shared=shared), Bench(shared=shared)
    first.ask(1)
    shared.tell()
    await first.finish()
    shared.age_ns = 4 * NS_PER_S
    answers = [second.ask(1), second.ask(1)]
    shared.tell()
    assert values(answers) == [2, 2]
    assert second.metrics.rows == 0
    cache = second.cache
    assert (cache.hits, cache.shared_hits, cache.joined, cache.misses) == (1, 1, 1, 0)
    assert second.metrics.successes == 2 and second.settled()
    second.clock.advance_ms(5_999)
    assert second.ask(1).done() and not shared.asked
    second.clock.advance_ms(1)
    assert not second.ask(1).done(), "it is as old here as there"
    shared.age_ns = 10 * NS_PER_S
    shared.tell()
    assert await second.start() == 1
    await second.finish()


async def test_version_of_other_files_has_other_answers() -> None:
    shared = Shared()
    keys = []
    for digest in ("a", "b"):
        bench = Bench(shared=shared)
        bench.live.digest = digest
        bench.endpoint = EndpointMaker(2**20, asyncio.get_running_loop(), cast(Any, shared))(
            bench.live, bench.clock
        )
        bench.ask(1)
        keys.append(shared.asked[-1][0])
    assert len(set(keys)) == 2
    shared.tell()


async def test_shared_answer_that_cannot_be_used_is_made_again() -> None:
    shared = Shared()
    first, second = Bench(shared=shared), Bench(shared=shared)
    first.ask(1)
    shared.tell()
    await first.finish()
    shared.broken = True
    answer = second.ask(1)
    shared.tell()
    await second.finish()
    assert values([answer]) == [2] and second.metrics.rows == 1


async def test_store_that_does_not_answer_is_not_waited_for() -> None:
    shared = Shared()
    shared.available = False
    bench, together = Bench(shared=shared), Together()
    answers = [bench.ask(1), *(FutureAnswer() for _ in range(2))]
    bench.endpoint.submit_block(block(2, 3), answers[1:], together)
    await bench.finish()
    assert values(answers) == [2, 4, 6] and not shared.asked


async def test_block_asks_for_what_is_new_and_runs_what_is_unknown() -> None:
    shared = Shared()
    first, bench, together = Bench(shared=shared), Bench(shared=shared), Together()
    first.ask(2)
    shared.tell()
    await first.finish()
    answers = [FutureAnswer() for _ in range(4)]
    bench.endpoint.submit_block(block(1, 2, 3, 1), answers, together)
    assert len(shared.asked) == 3
    shared.tell()
    assert [answer.done() for answer in answers] == [False, True, False, False]
    await bench.finish()
    assert values(answers) == [2, 4, 6, 2]
    assert bench.metrics.rows == 2 and bench.settled()


async def test_those_who_leave_while_the_store_is_asked_leave_nothing() -> None:
    shared = Shared()
    bench = Bench(shared=shared)
    first, second, only = bench.ask(1), bench.ask(1), bench.ask(2)
    first.cancel()
    only.cancel()
    shared.tell()
    await bench.finish()
    assert values([second]) == [2]
    assert (bench.metrics.rows, bench.metrics.cancellations) == (1, 2)
    assert bench.settled()


async def test_refusal_after_the_store_was_asked_is_told_to_all() -> None:
    shared = Shared()
    bench = Bench(shared=shared, max_queue_rows=1)
    answers = [bench.ask(1), bench.ask(1)]
    bench.live.close()
    shared.tell()
    assert [type(answer.exception()) for answer in answers] == [NotReady] * 2
    assert bench.metrics.in_flight == 0


async def test_deadline_that_passes_while_the_store_is_asked_is_kept() -> None:
    shared = Shared()
    bench = Bench(shared=shared)
    early = bench.ask(1, deadline_ns=5 * NS_PER_MS)
    late = bench.ask(1, deadline_ns=20 * NS_PER_S)
    alone = bench.ask(2, deadline_ns=5 * NS_PER_MS)
    bench.clock.advance_ms(9)
    shared.tell()
    await until(early.done)
    await bench.finish()
    assert [type(answer.exception()) for answer in (early, alone)] == [DeadlineExceeded] * 2
    assert values([late]) == [2]
    assert bench.settled()


async def test_model_that_wants_to_share_where_nothing_is_shared_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(cache={"shared": True})
    assert "cache.shared has no effect without --cache-redis" in caplog.text
    assert await bench.answered(1) == [[2]]


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


async def test_observer_is_told_of_runs_hits_and_those_who_joined() -> None:
    bench = Bench()
    told: list[tuple[int, list[float]]] = []
    bench.endpoint.observer = lambda entries, answered, outputs: told.append(
        (len(answered), outputs[0].ravel().tolist())
    )
    bench.ask(1)
    bench.ask(2)
    bench.ask(1)  # joins the first
    await bench.finish()
    bench.ask(2)  # is answered at once
    assert told == [(2, [2, 4]), (1, [2]), (1, [4])]
    assert bench.metrics.successes == 4
