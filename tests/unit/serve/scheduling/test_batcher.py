from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from serve.clock import NS_PER_MS, NS_PER_S, FakeClock
from serve.errors import (
    BackendError,
    DeadlineExceeded,
    InternalError,
    NotReady,
    Overloaded,
    Unavailable,
)
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.batcher import Batcher
from serve.scheduling.cost import CostModel
from serve.scheduling.entry import Entry
from serve.scheduling.execution import Outcome
from serve.scheduling.policy import Limits
from tests.support.entries import ManualExecutor, make_entry


class Bench:
    """A batcher with everything around it in the test's hands."""

    def __init__(self, executor: ManualExecutor | None = None, **limits: Any) -> None:
        self.clock = FakeClock(1)
        self.executor = executor or ManualExecutor()
        self.metrics = VersionMetrics("m", "1")
        self.batcher = Batcher(
            "m",
            Limits(**{"max_batch_rows": 8, "max_queue_rows": 100, **limits}),
            CostModel({1: NS_PER_MS, 8: NS_PER_MS}),
            self.executor,
            self.metrics,
            self.clock,
            asyncio.get_running_loop(),
        )

    def submit(self, value: float = 0.0, rows: int = 1, **fields: Any) -> Entry:
        entry = make_entry(value, rows, **fields)
        self.batcher.submit(entry, self.clock.now_ns)
        return entry

    @property
    def sizes(self) -> list[int]:
        return [batch.rows for batch, _ in self.executor.batches]


async def turn() -> None:
    """Let the loop run what is scheduled for its next turn."""
    await asyncio.sleep(0)


async def test_requests_of_one_turn_share_a_batch_and_get_their_own_rows() -> None:
    bench = Bench()
    entries = [bench.submit(value) for value in (1, 2, 3)]
    await turn()
    assert bench.sizes == [3]
    bench.executor.finish()
    assert [(await entry.sink)[0].tolist() for entry in entries] == [[[2]], [[4]], [[6]]]
    assert (bench.metrics.successes, bench.metrics.in_flight) == (3, 0)


async def test_batches_never_exceed_the_limit() -> None:
    bench = Bench(ManualExecutor(slots=3))
    for _ in range(5):
        bench.submit(rows=3)
    await turn()
    assert bench.sizes == [6, 6, 3]


async def test_next_batch_waits_for_a_slot_and_fills_meanwhile() -> None:
    bench = Bench()
    bench.submit()
    await turn()
    for _ in range(4):
        bench.submit()
        await turn()
    assert bench.sizes == [1]
    bench.executor.finish()
    assert bench.sizes == [4]


async def test_prefetch_takes_only_a_full_batch() -> None:
    bench = Bench(ManualExecutor(slots=1, prefetch=1))
    bench.submit()
    await turn()
    bench.submit(rows=7)
    await turn()
    assert bench.sizes == [1]
    bench.submit(rows=1)
    await turn()
    assert bench.sizes == [1, 8]


async def test_poisonous_request_fails_alone() -> None:
    bench = Bench()
    entries = [bench.submit(value) for value in (1, 2, 666, 4)]
    await turn()
    while bench.executor.batches:
        batch, _ = bench.executor.batches[0]
        if 666 in batch.inputs[0]:
            bench.executor.fail("poison")
        else:
            bench.executor.finish()
    with pytest.raises(BackendError, match="poison"):
        await entries[2].sink
    good = [entries[index] for index in (0, 1, 3)]
    assert [(await entry.sink)[0].item() for entry in good] == [2, 4, 8]
    assert (bench.metrics.failures, bench.metrics.in_flight) == (1, 0)


async def test_cancelled_request_is_dropped_before_execution() -> None:
    bench = Bench()
    entries = [bench.submit(value) for value in (1, 2)]
    entries[0].cancel()
    await turn()
    assert bench.sizes == [1]
    bench.executor.finish()
    assert (await entries[1].sink)[0].item() == 4
    assert (bench.metrics.cancellations, bench.metrics.in_flight) == (1, 0)


async def test_request_cancelled_while_it_runs_touches_no_neighbour() -> None:
    bench = Bench()
    entries = [bench.submit(value) for value in (1, 2)]
    await turn()
    entries[0].cancel()
    bench.executor.finish()
    assert (await entries[1].sink)[0].item() == 4
    assert bench.metrics.in_flight == 0


@pytest.mark.parametrize("running", [False, True])
async def test_deadline_answers_queued_and_running_requests(running: bool) -> None:
    bench = Bench()
    entry = bench.submit(deadline_ns=5 * NS_PER_MS)
    if running:
        await turn()
    bench.clock.advance_ms(6)
    bench.batcher.sweep()
    with pytest.raises(DeadlineExceeded, match="deadline"):
        await entry.sink
    assert bench.metrics.in_flight == 0
    bench.batcher.close()


async def test_expired_request_is_not_executed() -> None:
    bench = Bench()
    entry = bench.submit(deadline_ns=5 * NS_PER_MS)
    bench.clock.advance_ms(6)
    await turn()
    assert bench.sizes == []
    assert isinstance(entry.sink.exception(), DeadlineExceeded)


async def test_passed_deadline_is_refused_at_once() -> None:
    bench = Bench()
    with pytest.raises(DeadlineExceeded):
        bench.submit(deadline_ns=1)


async def test_overload_is_refused_with_a_hint_and_counted() -> None:
    bench = Bench(max_queue_rows=8)
    bench.submit()
    await turn()
    bench.submit(rows=8)
    with pytest.raises(Overloaded, match="queue_full") as refused:
        bench.submit()
    assert refused.value.retry_after_s is not None and refused.value.retry_after_s > 0
    assert bench.metrics.refusals == {"queue_full": 1}


async def test_stalled_batch_stops_admission_and_shows() -> None:
    bench = Bench()
    bench.submit()
    await turn()
    assert not bench.batcher.stalled_ns(bench.clock.now_ns)
    bench.clock.now_ns = 11 * NS_PER_S
    assert bench.batcher.stalled_ns(bench.clock.now_ns)
    with pytest.raises(NotReady, match="running one batch for 11 s"):
        bench.submit()


async def test_close_answers_everything_that_is_left() -> None:
    bench = Bench()
    running = bench.submit()
    await turn()
    queued = bench.submit()
    bench.batcher.close()
    for entry in (running, queued):
        assert isinstance(entry.sink.exception(), NotReady)
    bench.executor.finish()
    with pytest.raises(NotReady):
        bench.submit()
    assert bench.metrics.in_flight == 0


async def test_batch_waits_for_more_rows_when_a_delay_is_allowed() -> None:
    bench = Bench(max_delay_ns=3600 * NS_PER_S)
    bench.submit()
    await turn()
    assert bench.sizes == []
    bench.submit(rows=7)
    await turn()
    assert bench.sizes == [8]
    bench.batcher.close()


def submit_block(bench: Bench, *values: float, **fields: Any) -> list[Any]:
    entries = [make_entry(value, **fields) for value in values]
    together = (np.array([values], np.float32).T,)
    for start, entry in enumerate(entries):
        entry.inputs, entry.start = together, start
    outcomes = bench.batcher.submit_block(entries, bench.clock.now_ns)
    assert len(outcomes) == len(entries)
    return outcomes


async def test_block_is_dispatched_at_once() -> None:
    bench = Bench()
    entries = submit_block(bench, 1, 2, 3)
    assert bench.sizes == [3]
    bench.executor.finish()
    assert [(await entry.sink)[0].item() for entry in entries] == [2, 4, 6]
    assert (bench.metrics.successes, bench.metrics.in_flight) == (3, 0)


async def test_block_waits_for_more_rows_when_a_delay_is_allowed() -> None:
    bench = Bench(max_delay_ns=3600 * NS_PER_S)
    submit_block(bench, 1, 2)
    assert bench.sizes == []
    submit_block(bench, *range(6))
    assert bench.sizes == [8]
    bench.batcher.close()


async def test_block_goes_behind_what_waits_already() -> None:
    bench = Bench()
    bench.submit(5)
    entries = submit_block(bench, 1, 2)
    assert bench.sizes == [3]
    bench.executor.finish()
    assert [(await entry.sink)[0].item() for entry in entries] == [2, 4]


async def test_block_larger_than_a_batch_is_divided() -> None:
    bench = Bench(ManualExecutor(slots=3))
    submit_block(bench, *range(20))
    assert bench.sizes == [8, 8, 4]


async def test_block_is_refused_only_as_far_as_there_is_no_room() -> None:
    bench = Bench(max_queue_rows=8)
    submit_block(bench, 0)
    outcomes = submit_block(bench, *range(10))
    assert [type(outcome) for outcome in outcomes] == [Entry] * 8 + [Overloaded] * 2
    assert bench.metrics.in_flight == 9
    bench.batcher.close()


async def test_block_for_an_unloaded_model_is_refused() -> None:
    bench = Bench()
    bench.batcher.close()
    assert [type(outcome) for outcome in submit_block(bench, 1, 2)] == [NotReady, NotReady]
    assert bench.metrics.in_flight == 0


async def test_answerer_that_raises_costs_its_own_run_only(caplog: Any) -> None:
    class Broken:
        def answer(self, entries: Any, outputs: Any) -> None:
            raise ZeroDivisionError

    bench = Bench()
    broken, good = bench.submit(1, answerer=Broken()), bench.submit(2)
    await turn()
    bench.executor.finish()
    assert isinstance(broken.sink.exception(), InternalError)
    assert (await good.sink)[0].item() == 4
    assert "unexpected error in 1 answers" in caplog.text


async def test_batch_that_no_executor_can_run_is_not_halved() -> None:
    bench = Bench()
    entries = [bench.submit(value) for value in (1, 2, 3)]
    await turn()
    bench.executor.fail(error=Unavailable("three replicas were lost"))
    for entry in entries:
        with pytest.raises(Unavailable, match="three replicas"):
            await entry.sink
    assert bench.batcher.idle


async def test_batch_whose_executor_was_lost_is_taken_apart() -> None:
    bench = Bench()
    entries = [bench.submit(value) for value in (1, 2, 3)]
    await turn()
    bench.executor.batches.pop(0)[1](Outcome(None, Unavailable("it was lost"), 0, lost=2))
    await turn()
    first = bench.executor.batches[0][0]
    assert (first.rows, first.lost) == (1, 2)
    bench.executor.finish()
    await turn()
    bench.executor.fail(error=Unavailable("three replicas were lost"))
    await turn()
    bench.executor.finish()
    assert (await entries[0].sink)[0].item() == 2
    with pytest.raises(Unavailable, match="three replicas"):
        await entries[1].sink
    assert (await entries[2].sink)[0].item() == 6
    assert bench.batcher.idle


async def test_lost_requests_that_nobody_waits_for_are_not_run_again() -> None:
    bench = Bench()
    entries = [bench.submit(value) for value in (1, 2)]
    await turn()
    entries[0].cancel()
    bench.executor.batches.pop(0)[1](Outcome(None, Unavailable("it was lost"), 0, lost=2))
    await turn()
    assert [batch.lost for batch, _ in bench.executor.batches] == [2]
    bench.executor.finish()
    assert (await entries[1].sink)[0].item() == 4
    assert bench.batcher.idle


async def test_requests_wait_while_there_is_no_slot_and_go_when_there_is_room() -> None:
    bench = Bench(ManualExecutor(slots=0))
    entries = [bench.submit(value) for value in (1, 2)]
    await turn()
    assert bench.sizes == []
    bench.executor.slots = 1
    bench.executor.room()
    assert bench.sizes == [2]
    bench.executor.finish()
    assert [(await entry.sink)[0].item() for entry in entries] == [2, 4]


async def test_slots_may_vanish_under_a_batch() -> None:
    bench = Bench(ManualExecutor(slots=1))
    first = bench.submit()
    await turn()
    bench.executor.slots = 0
    second = bench.submit(5)
    await turn()
    bench.executor.finish()
    await first.sink
    assert bench.sizes == []
    bench.executor.slots = 1
    bench.executor.room()
    bench.executor.finish()
    assert (await second.sink)[0].item() == 10


async def test_eager_executor_takes_a_batch_that_is_not_full_ahead() -> None:
    executor = ManualExecutor(slots=1, prefetch=1)
    executor.eager = True
    bench = Bench(executor)
    for _ in range(3):
        bench.submit()
        await turn()
    assert bench.sizes == [1, 1]


async def test_batch_is_withdrawn_when_nobody_waits_for_it_any_more() -> None:
    bench = Bench()
    due = [bench.submit(deadline_ns=deadline * NS_PER_MS) for deadline in (5, 9)]
    await turn()
    (_, done) = bench.executor.batches[0]
    bench.clock.advance_ms(6)
    bench.batcher.sweep()
    assert bench.executor.withdrawn == []
    bench.clock.advance_ms(6)
    bench.batcher.sweep()
    assert bench.executor.withdrawn == [done]
    for entry in due:
        with pytest.raises(DeadlineExceeded):
            await entry.sink
    bench.batcher.close()


async def test_executor_that_runs_elsewhere_looks_after_stalls_itself() -> None:
    bench = Bench(ManualExecutor(elsewhere=True))
    bench.submit()
    await turn()
    bench.clock.advance_ms(60_000)
    bench.submit()
    bench.batcher.close()


async def test_what_waits_is_told_as_time_of_execution() -> None:
    bench = Bench(ManualExecutor(slots=0))
    assert bench.batcher.waiting_ns() == 0
    for _ in range(3):
        bench.submit(rows=3)
    await turn()
    assert bench.batcher.waiting_ns() == 2 * NS_PER_MS  # a batch of 8, and one of 1


async def test_executor_without_slots_is_told_that_work_waits() -> None:
    bench = Bench(ManualExecutor(slots=0, elsewhere=True))
    entry = bench.submit(4)
    await turn()
    assert (bench.sizes, bench.executor.starvations) == ([], 1)
    bench.executor.slots = 1
    bench.executor.room()
    bench.executor.finish()
    assert (await entry.sink)[0].item() == 8
    assert bench.executor.starvations == 1


async def test_block_waits_in_the_queue_while_there_is_no_slot() -> None:
    bench = Bench(ManualExecutor(slots=0, elsewhere=True))
    entry = make_entry()
    assert bench.batcher.submit_block([entry], bench.clock.now_ns) == [entry]
    assert (bench.sizes, bench.executor.starvations) == ([], 1)
    assert bench.batcher.waiting_ns() == NS_PER_MS


async def test_refusal_of_what_has_waited_leaves_the_rest() -> None:
    bench = Bench(ManualExecutor(slots=0))
    early = bench.submit()
    bench.clock.advance_ms(5)
    late = bench.submit()
    await turn()
    error = NotReady("nobody came")
    assert bench.batcher.refuse_waiting(early.enqueued_ns, error) == late.enqueued_ns
    with pytest.raises(NotReady, match="nobody came"):
        await early.sink
    assert not late.sink.done()
    assert bench.batcher.refuse_waiting(late.enqueued_ns, error) == 0
    assert (bench.metrics.failures, bench.metrics.in_flight) == (2, 0)
    assert bench.batcher.idle


async def test_deadline_that_passes_without_a_slot_says_so() -> None:
    bench = Bench(ManualExecutor(slots=0))
    entry = bench.submit(deadline_ns=NS_PER_MS)
    await turn()
    bench.clock.advance_ms(2)
    bench.batcher.sweep()
    with pytest.raises(DeadlineExceeded, match="without a replica"):
        await entry.sink
