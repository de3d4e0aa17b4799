"""How many replicas there should be: one decision, and decisions along traces of load."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from serve.executors.ray.scaling import (
    Load,
    Pending,
    Rules,
    ScalingPolicy,
    decide,
    queue_delay_s,
    wanted_replicas,
)

RULES = Rules(1, 10, latency_s=0.1)
IDLE, BUSY = Load(0.0), Load(0.6)
FULL = Load(1.0, gateways_s=9.0, batch_s=0.02)
LATE = Load(0.3, gateways_s=0.06, batch_s=0.01)
"""Little to do on the whole, but it comes at once: 60 ms of a target of 100 ms are waited for."""


@pytest.mark.parametrize(
    ("loads", "current", "wanted"),
    [
        ([], 3, 3),
        ([IDLE], 1, 1),
        ([BUSY], 1, 1),
        ([Load(0.61)], 1, 1),
        ([Load(0.9)], 1, 2),
        ([BUSY, BUSY, IDLE, IDLE], 4, 2),
        ([IDLE] * 9, 9, 1),
        ([FULL], 1, 2),
        ([FULL] * 4, 4, 7),
        ([FULL] * 9, 9, 10),
        ([LATE], 1, 2),
        ([LATE] * 2, 2, 3),
        ([LATE] * 3, 3, 3),
        ([Load(0.3, gateways_s=0.04)] * 3, 3, 2),
    ],
)
def test_replicas_follow_utilisation_and_waiting(
    loads: list[Load], current: int, wanted: int
) -> None:
    assert wanted_replicas(loads, current, RULES, demand=False) == wanted


def test_waiting_of_gateways_counts_once_and_of_engines_each() -> None:
    assert queue_delay_s([]) == 0
    loads = [Load(1, gateways_s=6, queued_s=1, slots=2), Load(1, gateways_s=5, queued_s=3, slots=2)]
    assert queue_delay_s(loads) == pytest.approx(10 / 4)


def test_without_a_latency_target_a_batch_may_wait_for_each_slot() -> None:
    rules = Rules(1, 10)
    waiting = [Load(0.3, gateways_s=0.4, batch_s=0.5)]
    assert wanted_replicas(waiting, 1, rules, demand=False) == 1
    waiting = [Load(0.3, gateways_s=0.6, batch_s=0.5)]
    assert wanted_replicas(waiting, 1, rules, demand=False) == 2


def test_replicas_that_are_starting_count_as_wanted_already() -> None:
    assert wanted_replicas([FULL], 2, RULES, demand=False) == 2


def test_last_replica_goes_only_when_there_is_nothing_to_do() -> None:
    rules = Rules(0, 4)
    assert wanted_replicas([Load(0.001)], 1, rules, demand=False) == 1
    assert wanted_replicas([Load(0.0, gateways_s=0.001)], 1, rules, demand=False) == 1
    assert wanted_replicas([IDLE], 1, rules, demand=True) == 1
    assert wanted_replicas([IDLE], 1, rules, demand=False) == 0
    assert wanted_replicas([], 0, rules, demand=False) == 0
    assert wanted_replicas([], 0, rules, demand=True) == 1


def test_change_waits_for_its_delay_and_is_the_least_that_stood_for_it() -> None:
    rules = Rules(1, 10, upscale_delay_s=5)
    number, pending = decide([Load(1.0)] * 4, 4, None, 100.0, rules)
    assert (number, pending) == (4, Pending(7, 100.0))
    number, pending = decide([Load(0.8)] * 4, 4, pending, 103.0, rules)
    assert (number, pending) == (4, Pending(6, 100.0))
    assert decide([Load(1.0)] * 4, 4, pending, 105.0, rules) == (6, None)


def test_change_of_mind_starts_the_delay_again() -> None:
    rules = Rules(1, 10, upscale_delay_s=5, downscale_delay_s=5)
    _, pending = decide([Load(1.0)] * 4, 4, None, 100.0, rules)
    _, pending = decide([IDLE] * 4, 4, pending, 104.0, rules)
    assert pending == Pending(1, 104.0)
    assert decide([Load(0.6)] * 4, 4, pending, 108.0, rules) == (4, None)


class World:
    """A model of which one replica executes a second of work in a second, in batches of 20 ms.

    With a latency target, work that would wait for more than half of it is refused, as gateways do.
    """

    def __init__(self, rules: Rules, start_s: int = 3) -> None:
        self.rules = rules
        self.targets = [max(1, rules.min_replicas)]
        self.refused_s = 0.0
        self._start_s = start_s
        self._ready_at = [0.0] * self.targets[0]
        self._waits = 0.0
        self._now = 0
        self._pending: Pending | None = None

    def follow(self, work: Callable[[int], float], seconds: int) -> list[int]:
        """Give it ``work`` seconds of execution in each of so many seconds; the targets."""
        for now in range(self._now, self._now + seconds):
            self._second(now, work(now))
        self._now += seconds
        return self.targets[-seconds:]

    def _second(self, now: int, work: float) -> None:
        running = sum(ready <= now for ready in self._ready_at)
        done = min(running, self._waits + work)
        self._waits += work - done
        if running and self.rules.latency_s:
            most = self.rules.latency_s / 2 * running
            self.refused_s += max(0.0, self._waits - most)
            self._waits = min(self._waits, most)
        load = Load(done / max(1, running), gateways_s=self._waits, batch_s=0.02)
        loads = [load] * running
        current = self.targets[-1]
        target, self._pending = decide(
            loads, current, self._pending, now, self.rules, demand=self._waits > 0
        )
        self._ready_at = sorted(self._ready_at)[:target]
        self._ready_at += [now + self._start_s] * (target - len(self._ready_at))
        self.targets.append(target)


def changes(targets: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(targets) if before != after]


def test_steady_load_has_its_replicas_and_no_other() -> None:
    world = World(Rules(1, 20, latency_s=0.1, upscale_delay_s=2))
    targets = world.follow(lambda _: 5.5, 300)
    assert targets[60:] == [10] * 240  # 5.5 / 0.6, and a replica is not divided
    assert all(change > 0 for change in changes(targets))
    assert world.refused_s < 60
    assert world.follow(lambda _: 5.5, 60) == [10] * 60


def test_burst_is_followed_up_at_once_and_down_after_its_delay() -> None:
    rules = Rules(1, 20, latency_s=0.1, upscale_delay_s=2, downscale_delay_s=60)
    world = World(rules)
    assert world.follow(lambda _: 0.5, 60) == [1] * 60
    burst = world.follow(lambda _: 6.0, 60)
    assert burst[-1] == 10
    assert burst.index(10) < 30
    after = world.follow(lambda _: 0.5, 120)
    assert after[:59] == [10] * 59
    assert after[-1] == 1
    assert changes(after) == [-9]


def test_idle_model_goes_to_zero_over_one_and_comes_back_at_once() -> None:
    rules = Rules(0, 4, upscale_delay_s=2, downscale_delay_s=30)
    world = World(rules)
    world.follow(lambda _: 1.5, 60)
    idle = world.follow(lambda _: 0.0, 120)
    assert idle[-1] == 0
    assert changes(idle) == [-2, -1]
    assert idle.index(0) - idle.index(1) >= 30
    woken = world.follow(lambda _: 0.1, 10)
    assert woken[0] == 1
    assert set(woken) == {1}


def test_late_work_brings_replicas_though_slots_are_idle_most_of_the_time() -> None:
    """Ten requests at once each second: 200 ms of work that is done one after the other."""
    rules = Rules(1, 8, latency_s=0.2, upscale_delay_s=2)
    replicas, pending, targets = 1, None, []
    for now in range(60):
        waits = 0.2 * 0.9  # as the gateway sees it when they have just come
        loads = [Load(0.2 / replicas, gateways_s=waits, batch_s=0.02)] * replicas
        replicas, pending = decide(loads, replicas, pending, now, rules)
        targets.append(replicas)
    assert targets[-1] == 4  # 180 ms of waiting over four, within a quarter of the target
    assert all(change > 0 for change in changes(targets))


@pytest.mark.parametrize("period_s", [4, 10, 30])
def test_load_that_comes_and_goes_moves_nothing_after_the_first_time(period_s: int) -> None:
    rules = Rules(1, 10, latency_s=0.1, upscale_delay_s=5, downscale_delay_s=60)
    world = World(rules)

    def flapping(now: int) -> float:
        return 1.8 if now % period_s < period_s // 2 else 0.2

    world.follow(flapping, 120)
    assert changes(world.follow(flapping, 600)) == []


def test_full_replicas_grow_until_the_load_fits() -> None:
    world = World(Rules(1, 50, latency_s=0.1, upscale_delay_s=0), start_s=0)
    world.follow(lambda _: 7.3, 40)
    assert list(dict.fromkeys(world.targets)) == [1, 2, 4, 7, 12, 13]


def test_without_a_latency_target_what_waited_is_worked_off_and_then_the_load_decides() -> None:
    world = World(Rules(1, 50, downscale_delay_s=30))
    world.follow(lambda _: 5.5, 300)
    assert world.targets[-1] == 10
    assert max(world.targets) <= 20


def test_policy_reads_what_serve_gathered_and_remembers() -> None:
    policy = ScalingPolicy(min_replicas=1, max_replicas=8, upscale_delay_s=5.0)
    context: Any = SimpleNamespace(
        aggregated_metrics={
            "utilisation": {"a": 1.0, "b": 0.8},
            "gateways_s": {"a": 0.0},
            "slots": {"a": 1.0},
        },
        target_num_replicas=2,
        total_num_requests=0.0,
        policy_state={},
        current_time=100.0,
    )
    number, state = policy(context)
    assert (number, state) == (2, {"pending": {"wanted": 3, "since_s": 100.0}})
    context.policy_state, context.current_time = state, 105.0
    assert policy(context) == (3, {"pending": None})
    context.aggregated_metrics, context.policy_state = None, None
    assert policy(context) == (2, {"pending": None})


def test_policy_wakes_a_model_for_a_call_that_waits() -> None:
    policy = ScalingPolicy(min_replicas=0, max_replicas=2)
    context: Any = SimpleNamespace(
        aggregated_metrics={},
        target_num_replicas=0,
        total_num_requests=1.0,
        policy_state=None,
        current_time=100.0,
    )
    assert policy(context) == (1, {"pending": None})
