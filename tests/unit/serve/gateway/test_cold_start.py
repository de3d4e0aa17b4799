"""Requests for a model without a replica: it is asked for, and they do not wait for ever."""

from __future__ import annotations

import asyncio

import pytest

from serve.clock import NS_PER_MS, FakeClock
from serve.config import ModelConfig
from serve.errors import NotReady
from serve.executors.live import LiveModel
from serve.gateway.cold_start import RETRY_AFTER_S, ColdStart
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.batcher import Batcher
from serve.scheduling.cost import CostModel
from serve.scheduling.entry import Entry
from serve.scheduling.policy import Limits
from tests.support.engines import SIGNATURE
from tests.support.entries import ManualExecutor, make_entry

TIMEOUT_S = 0.05


class Bench:
    """A model whose replica comes when the test says so."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = FakeClock(1)
        self.executor = ManualExecutor(slots=0, elsewhere=True)
        metrics = VersionMetrics("m", "1")
        self.batcher = Batcher(
            "m", Limits(8, 100), CostModel({8: NS_PER_MS}), self.executor, metrics, self.clock, loop
        )
        config = ModelConfig.model_validate(
            {"autoscaling": {"min_replicas": 0, "cold_start_timeout_s": TIMEOUT_S}}
        )
        live = LiveModel(
            "m", "1", config, SIGNATURE, "x", "x", 8, self.batcher, self.executor, metrics
        )
        self.asked = 0
        self.cold = ColdStart(live, self._wake, self.clock, loop)

    def _wake(self) -> None:
        self.asked += 1

    def submit(self) -> Entry:
        entry = make_entry(4)
        self.batcher.submit(entry, self.clock.now_ns)
        self.cold.starved()
        return entry


async def test_first_request_that_waits_asks_and_the_next_do_not() -> None:
    bench = Bench()
    entries = [bench.submit() for _ in range(3)]
    assert bench.asked == 1
    bench.executor.slots = 1
    bench.executor.room()
    bench.executor.finish()
    assert [(await entry.sink)[0].item() for entry in entries] == [8, 8, 8]
    bench.cold.close()


async def test_request_that_has_waited_in_vain_is_told_what_to_do() -> None:
    bench = Bench()
    entry = bench.submit()
    bench.clock.advance_ms(1000 * TIMEOUT_S)
    with pytest.raises(NotReady, match=r"min_replicas: 1") as refused:
        await asyncio.wait_for(entry.sink, 30)
    assert refused.value.retry_after_s == RETRY_AFTER_S
    assert bench.asked == 1
    bench.submit()
    assert bench.asked == 2
    bench.cold.close()


async def test_later_request_has_its_own_time_and_a_replica_is_asked_for_again() -> None:
    bench = Bench()
    early = bench.submit()
    bench.clock.advance_ms(1000 * TIMEOUT_S / 2)
    late = bench.submit()
    bench.clock.advance_ms(1000 * TIMEOUT_S / 2)
    with pytest.raises(NotReady):
        await asyncio.wait_for(early.sink, 30)
    assert bench.asked == 2
    assert not late.sink.done()
    bench.clock.advance_ms(1000 * TIMEOUT_S)
    with pytest.raises(NotReady):
        await asyncio.wait_for(late.sink, 30)


async def test_nobody_is_refused_when_a_replica_has_come_meanwhile() -> None:
    bench = Bench()
    entry = bench.submit()
    bench.executor.slots = 1
    bench.clock.advance_ms(2000 * TIMEOUT_S)
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * TIMEOUT_S, over.set)
    await over.wait()
    assert not entry.sink.done()
    bench.executor.finish()
    assert (await entry.sink)[0].item() == 8
    assert bench.asked == 1
