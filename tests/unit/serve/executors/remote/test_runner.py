from __future__ import annotations

import numpy as np
import pytest

from serve.clock import NS_PER_S, FakeClock
from serve.executors.remote.runner import Runner, Statistics, Work
from serve.scheduling.cost import CostModel
from serve.scheduling.execution import Outcome
from serve.scheduling.policy import Limits
from serve.scheduling.row_cost import RowCost
from serve.tensors import Batch
from tests.support.entries import ManualExecutor

BATCH = Batch((np.ones((3, 1), np.float32),), 3)


class Bench:
    """A runner with its executor and its clock in the test's hands."""

    def __init__(self, slots: int = 1, max_queued: int = 2) -> None:
        self.clock = FakeClock(1)
        self.executor = ManualExecutor(slots)
        self.row_cost = RowCost(CostModel({1: 600, 3: 900}), Limits(3, 100))
        self.runner = Runner(self.executor, max_queued, self.clock, 10 * NS_PER_S, self.row_cost)
        self.outcomes: list[Outcome] = []

    def work(self, expected_ns: int = 1000) -> Work:
        return Work(BATCH, expected_ns, self.outcomes.append)

    @property
    def figures(self) -> Statistics:
        return self.runner.statistics(0)


def test_batches_run_as_slots_allow_and_the_rest_waits() -> None:
    bench = Bench(slots=2)
    assert [bench.runner.take(bench.work()) for _ in range(4)] == [True] * 4
    assert (bench.figures.running, bench.figures.queued) == (2, 2)
    bench.executor.finish()
    assert (bench.figures.running, bench.figures.queued) == (2, 1)
    for _ in range(3):
        bench.executor.finish()
    assert bench.runner.idle
    assert len(bench.outcomes) == 4


def test_batch_is_declined_when_too_many_wait() -> None:
    bench = Bench(max_queued=1)
    assert [bench.runner.take(bench.work()) for _ in range(3)] == [True, True, False]
    assert bench.figures.declined == 1


def test_batch_that_waits_can_be_withdrawn() -> None:
    bench = Bench()
    running, waiting = bench.work(), bench.work()
    bench.runner.take(running)
    bench.runner.take(waiting)
    assert bench.runner.withdraw(waiting)
    assert not bench.runner.withdraw(waiting)
    assert not bench.runner.withdraw(running)
    bench.executor.finish()
    assert bench.runner.idle


def test_counters_follow_what_runs() -> None:
    bench = Bench(slots=2)
    bench.runner.take(bench.work())
    bench.executor.fail("no")
    bench.runner.take(bench.work())
    bench.executor.finish()
    bench.runner.take(bench.work())
    bench.clock.advance_ms(5)
    figures = bench.figures
    assert (figures.batches, figures.rows, figures.failures) == (2, 6, 1)
    assert figures.busy_ns == 2 * 1000 + 5_000_000
    # Three rows, in the largest batch there is: of 1000 ns, 900 would have done.
    assert figures.used_ns == pytest.approx(2 * 900 + 3 * bench.row_cost.ns)


def test_a_batch_that_does_not_come_back_has_stalled() -> None:
    bench = Bench()
    bench.runner.take(bench.work())
    bench.clock.advance_ms(9_000)
    assert bench.runner.stalled_ns() == 0
    bench.clock.advance_ms(2_000)
    assert bench.runner.stalled_ns() == 11 * NS_PER_S


def test_a_long_batch_may_take_its_time() -> None:
    bench = Bench()
    bench.runner.take(bench.work(expected_ns=NS_PER_S))
    bench.clock.advance_ms(19_000)
    assert bench.runner.stalled_ns() == 0
    bench.clock.advance_ms(2_000)
    assert bench.runner.stalled_ns() == 21 * NS_PER_S


def test_batches_run_inline_do_not_nest() -> None:
    bench = Bench(max_queued=500)
    finished = bench.executor.submit

    def inline(batch: Batch, quick_ns: int, done: object) -> None:
        finished(batch, quick_ns, done)  # type: ignore[arg-type]
        bench.executor.finish()

    first = bench.work()
    bench.runner.take(first)
    for _ in range(500):
        bench.runner.take(bench.work())
    bench.executor.submit = inline  # type: ignore[method-assign,assignment]
    bench.executor.finish()
    assert len(bench.outcomes) == 501
