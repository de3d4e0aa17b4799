"""The traffic of one process: what is asked of it, and that it is looked after."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from serve.clock import FakeClock, steady_epoch
from serve.errors import NotFound
from serve.gateway.endpoint import Endpoint
from serve.gateway.following import Follower
from serve.gateway.local_traffic import LocalTraffic
from serve.gateway.model_control import ModelControl
from serve.monitoring.metrics import ServerMetrics
from serve.repository.catalogue import Catalogue
from serve.repository.override import NO_OVERRIDE
from serve.repository.table import ModelTable
from serve.traffic.authority import Authority
from serve.traffic.operations import SetLabel, SetSplit
from serve.traffic.store import Store
from tests.support.endpoints import Bench


class Control:
    """Notes what is loaded and unloaded."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def load(self, name: str, override: object) -> None:
        self.calls.append(("load", name, override))

    async def unload(self, name: str) -> None:
        self.calls.append(("unload", name))


class Bed:
    def __init__(self, root: Path) -> None:
        for version in (3, 4):
            (root / "m" / str(version)).mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        clock = FakeClock()
        self.table: ModelTable[Endpoint] = ModelTable()
        self.control = Control()
        follower = Follower(self.table, ServerMetrics(), clock, loop)
        self.catalogue = Catalogue(root)
        follower.place("m", self.catalogue.config("m"))
        for version in (3, 4):
            self.table.set_ready("m", version, Bench(version=str(version)).endpoint)
        store = Store(root / ".penstock" / "state.sqlite3")
        self.authority = Authority(store, self.catalogue, steady_epoch(), loop)
        control = cast(ModelControl, self.control)
        self.traffic = LocalTraffic(self.authority, follower, control)

    @property
    def answers(self) -> str:
        return self.table.resolve("m", "").live.version


async def test_operation_counts_when_it_has_been_answered(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.traffic.start()
    assert bed.answers == "4"
    await bed.traffic.apply("m", SetLabel(label="stable", version=3), who="me")
    assert bed.answers == "3"
    assert [line.who for line in await bed.traffic.audit("m")] == ["me"]
    await bed.traffic.close()


async def test_rules_outlive_the_process(tmp_path: Path) -> None:
    before = Bed(tmp_path)
    await before.traffic.start()
    await before.traffic.apply("m", SetLabel(label="stable", version=3), who="me")
    await before.traffic.close()
    after = Bed(tmp_path)
    await after.traffic.start()
    assert after.answers == "3"
    await after.traffic.close()


async def test_report_is_of_this_moment(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.traffic.start()
    await bed.traffic.apply("m", SetSplit(split={"3": 1, "4": 1}), who="me")
    report = await bed.traffic.traffic_report("m")
    assert {arm.version: (arm.weight, arm.state) for arm in report.arms} == {
        3: (0.5, "READY"),
        4: (0.5, "READY"),
    }
    await bed.traffic.close()


async def test_models_are_looked_after_also_when_that_fails_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed = Bed(tmp_path)
    await bed.traffic.start()
    seen = asyncio.Event()
    looks = 0

    async def look(now_s: float | None = None) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ValueError("a fault of ours")
        seen.set()

    monkeypatch.setattr(bed.authority, "tick", look)
    bed.traffic.begin()
    await asyncio.wait_for(seen.wait(), 60)
    await bed.traffic.close()
    await bed.traffic.close()


async def test_models_are_loaded_as_the_repository_has_them(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.traffic.start()
    await bed.traffic.load("m", who="me", why="mended")
    await bed.traffic.unload("m", who="you")
    assert bed.control.calls == [("load", "m", NO_OVERRIDE), ("unload", "m")]
    lines = [(line.who, line.what, line.why) for line in await bed.traffic.audit("m")]
    assert lines == [("you", "unload", ""), ("me", "load", "mended")]
    assert bed.answers == "4"
    await bed.traffic.close()


async def test_model_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    await bed.traffic.start()
    with pytest.raises(NotFound, match="absent"):
        await bed.traffic.traffic_report("absent")
    await bed.traffic.close()
