"""A table that follows traffic rules: labels, fronts, and what is reported of them."""

from __future__ import annotations

import asyncio

import pytest

from serve.clock import FakeClock
from serve.config import ModelConfig
from serve.gateway.endpoint import Endpoint
from serve.gateway.following import Follower
from serve.gateway.front import Front
from serve.monitoring.metrics import ServerMetrics
from serve.repository.table import ModelTable
from serve.traffic.rules import basis_of
from serve.traffic.state import ModelState, Rollout, RolloutStatus, TrafficState
from tests.support.endpoints import Bench

CONFIG = ModelConfig.model_validate({"labels": {"stable": 3}})


class Bed:
    """A table with versions 3 and 4 of ``m``, and who follows."""

    def __init__(self) -> None:
        self.table: ModelTable[Endpoint] = ModelTable()
        self.reloaded: list[str] = []
        loop = asyncio.get_running_loop()
        clock = FakeClock()
        self.follower = Follower(self.table, ServerMetrics(), clock, loop, self.reloaded.append)
        self.endpoints: dict[int, Endpoint] = {}
        self.follower.place("m", CONFIG)
        for version in (3, 4):
            self.ready(version)

    def ready(self, version: int) -> None:
        bench = Bench(version=str(version))
        self.endpoints[version] = bench.endpoint
        self.table.set_ready("m", version, bench.endpoint)

    def follow(self, **fields: object) -> None:
        state = ModelState(basis=basis_of(CONFIG), **fields)  # type: ignore[arg-type]
        self.follower.follow(TrafficState(revision=1, models={"m": state}))


@pytest.fixture
async def bed() -> Bed:
    return Bed()


SPLIT = {"split": {"stable": 1, "4": 1}}


async def test_model_without_rules_has_no_front(bed: Bed) -> None:
    assert bed.table.resolve("m", "") is bed.endpoints[3]


async def test_split_is_followed_at_once(bed: Bed) -> None:
    bed.follow(traffic=SPLIT)
    assert isinstance(bed.table.resolve("m", ""), Front)
    assert bed.table.resolve("m", "4") is bed.endpoints[4]
    assert bed.reloaded == ["m"]


async def test_rules_that_end_leave_no_front(bed: Bed) -> None:
    bed.follow(traffic=SPLIT)
    bed.follower.follow(TrafficState(revision=2))
    assert bed.table.resolve("m", "") is bed.endpoints[3]
    assert bed.endpoints[3].observer is None


async def test_label_moves_at_once_where_its_version_is_ready(bed: Bed) -> None:
    bed.follow(labels={"stable": 4, "previous": 3})
    assert bed.table.resolve("m", "") is bed.endpoints[4]
    assert bed.table.resolve("m", "previous") is bed.endpoints[3]


async def test_label_waits_for_a_version_that_is_not_ready(bed: Bed) -> None:
    bed.follow(labels={"stable": 5})
    assert bed.table.resolve("m", "") is bed.endpoints[3]
    bed.ready(5)
    bed.follower.place("m", CONFIG)
    assert bed.table.resolve("m", "") is bed.endpoints[5]


async def test_label_moves_when_its_version_becomes_ready(bed: Bed) -> None:
    bed.follow(labels={"stable": 5, "previous": 3})
    bed.follower.settle("m")
    assert bed.table.resolve("m", "") is bed.endpoints[3]
    bed.ready(5)
    bed.follower.settle("m")
    assert bed.table.resolve("m", "") is bed.endpoints[5]
    assert bed.table.resolve("m", "previous") is bed.endpoints[3]
    bed.follower.settle("other")  # is not served


async def test_rules_of_another_model_yaml_do_not_count(bed: Bed) -> None:
    state = ModelState(basis="of another", labels={"stable": 4})
    bed.follower.follow(TrafficState(revision=1, models={"m": state}))
    assert bed.table.resolve("m", "") is bed.endpoints[3]


async def test_model_that_returns_has_its_rules_again(bed: Bed) -> None:
    bed.follow(traffic=SPLIT)
    bed.table.remove_model("m")
    bed.follower.place("m", CONFIG)
    for version in (3, 4):
        bed.ready(version)
    assert isinstance(bed.table.resolve("m", ""), Front)


async def test_versions_of_a_rollout_are_needed(bed: Bed) -> None:
    rollout = Rollout(
        version=9, stable=3, steps=(100.0,), hold_s=1.0, status=RolloutStatus.HOLDING, step=0
    )
    bed.follow(rollout=rollout)
    assert {3, 9} <= set(bed.follower.needed("m", CONFIG).values())


async def test_report_tells_states_of_all_and_counts_of_those_with_rules(bed: Bed) -> None:
    bed.table.set_unavailable("m", 5, "bad file")
    bed.follow(traffic=SPLIT)
    bed.follower.count_outcome("m", 4, 0.5)
    report = bed.follower.report()["m"]
    assert (report[5].state, report[5].reason) == ("UNAVAILABLE", "bad file")
    assert report[4].sample.outcomes.total == 0.5


async def test_metrics_tell_the_share_of_each_version(bed: Bed) -> None:
    bed.follow(traffic={"split": {"stable": 3, "4": 1}})
    weights = {key: told.weight for key, told in bed.follower.metrics().items()}
    assert weights == {("m", "3"): 0.75, ("m", "4"): 0.25}
