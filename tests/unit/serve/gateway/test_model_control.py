"""Who decides what is loaded: the start, the repository, or clients."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from serve.clock import monotonic_ns
from serve.errors import (
    InvalidRequest,
    NotFound,
    NotReady,
    PenstockError,
    RepositoryError,
    Unavailable,
)
from serve.gateway.control import Controller
from serve.gateway.endpoint import Endpoint
from serve.gateway.model_control import ModelControl
from serve.monitoring.metrics import ServerMetrics
from serve.repository.override import NO_OVERRIDE, Override
from serve.repository.table import ModelTable
from tests.support import onnx_models
from tests.support.triton_repository import write

Start = Callable[..., Any]
DEADLINE_S = 60


class Life:
    """A control over a repository, and what came of it."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.table: ModelTable[Endpoint] = ModelTable()
        loop = asyncio.get_running_loop()
        self.controller = Controller(self.table, ServerMetrics(), monotonic_ns, loop)
        self.control = ModelControl(root, self.controller, self.table, **options)

    def rows(self) -> dict[str, str]:
        """State of each version, as ``name/version``."""
        return {f"{row['name']}/{row['version']}": row["state"] for row in self.table.index()}

    def reason(self, name: str) -> str:
        return next(str(row["reason"]) for row in self.table.index() if row["name"] == name)

    async def settled(self) -> None:
        """Look at the repository twice, and wait for what follows."""
        for _ in range(2):
            await self.control.poll()
            async with asyncio.timeout(DEADLINE_S):
                while self.control._tasks:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.001)


@pytest.fixture
async def start(root: Path) -> AsyncIterator[Start]:
    """``await start(*names, mode="explicit")``: a life that has begun, and ends with the test."""
    lives: list[Life] = []

    async def begin(*names: str, **options: Any) -> Life:
        lives.append(life := Life(root, **{"poll_s": 1e6, **options}))
        await life.control.start(await life.control.read(), names)
        if options.get("mode") == "poll":
            assert len(life.control._tasks) == 1
            life.control._tasks.pop().cancel()  # the test looks itself
        return life

    yield begin
    for life in lives:
        life.control.stop()
        life.controller.close()


def loads(root: Path, name: str, version: int = 1) -> None:
    onnx_models.identity(root / name / str(version) / "model.onnx")


async def refused(work: Any, kind: type[PenstockError]) -> str:
    with pytest.raises(kind) as caught:
        await work
    return str(caught.value)


@pytest.mark.parametrize("mode", ["none", "poll"])
async def test_clients_do_not_decide_unless_explicit(start: Start, mode: str) -> None:
    life = await start(mode=mode)
    for work in (life.control.load("good", NO_OVERRIDE), life.control.unload("good")):
        assert "--model-control-mode" in await refused(work, Unavailable)
    assert life.rows() == {"good/1": "READY"}


# explicit


async def test_explicit_loads_nothing_unasked(start: Start, root: Path) -> None:
    life = await start(mode="explicit")
    assert life.rows() == {"good/": "UNAVAILABLE"}
    assert life.reason("good") == "unloaded"
    with pytest.raises(NotReady, match="/v2/repository/models/good/load"):
        life.table.resolve("good", "")


@pytest.mark.parametrize("name", ["good", "*"])
async def test_explicit_loads_what_the_start_names(start: Start, name: str) -> None:
    life = await start(name, mode="explicit")
    assert life.rows() == {"good/1": "READY"}
    assert life.controller.failures == 0


async def test_name_at_the_start_that_is_no_model_is_a_failure(start: Start) -> None:
    life = await start("nobody", mode="explicit")
    assert life.controller.failures == 1
    assert life.rows() == {"good/": "UNAVAILABLE", "nobody/": "UNAVAILABLE"}


async def test_load_and_unload(start: Start, root: Path) -> None:
    life = await start(mode="explicit")
    await life.control.load("good", NO_OVERRIDE)
    assert life.rows() == {"good/1": "READY"}
    before = life.table.resolve("good", "")
    await life.control.load("good", NO_OVERRIDE)
    assert life.table.resolve("good", "") is not before
    await life.control.unload("good")
    assert life.rows() == {"good/1": "UNAVAILABLE"}
    await life.control.unload("good")
    loads(root, "later")
    await life.control.list_models()
    assert life.rows() == {"good/1": "UNAVAILABLE", "later/": "UNAVAILABLE"}


@pytest.mark.parametrize("name", ["nobody", "../models", "", "..", "a/b", ".git", "x\0"])
async def test_model_that_is_not_there_is_not_found(start: Start, name: str) -> None:
    life = await start(mode="explicit")
    await refused(life.control.load(name, NO_OVERRIDE), NotFound)
    await refused(life.control.unload(name), NotFound)


async def test_load_that_fails_says_why_and_replaces_nothing(start: Start, root: Path) -> None:
    life = await start("good", mode="explicit")
    write(root, "good/2/model.onnx", "no model")
    assert "model.onnx" in await refused(life.control.load("good", NO_OVERRIDE), PenstockError)
    assert life.rows() == {"good/1": "READY", "good/2": "UNAVAILABLE"}


async def test_load_with_a_configuration_lasts_until_the_next(start: Start, root: Path) -> None:
    life = await start(mode="explicit")
    await life.control.load("good", Override('{"slo": {"latency_ms": 7}}'))
    assert life.table.resolve("good", "").live.config.slo.latency_ms == 7
    await life.control.reread()
    assert life.table.resolve("good", "").live.config.slo.latency_ms == 7
    await life.control.load("good", NO_OVERRIDE)
    assert life.table.resolve("good", "").live.config.slo.latency_ms is None


async def test_wrong_configuration_changes_nothing(start: Start) -> None:
    life = await start("good", mode="explicit")
    before = life.table.resolve("good", "")
    override = Override(json.dumps({"max_batch_size": "many"}))
    assert "max_batch_size" in await refused(life.control.load("good", override), InvalidRequest)
    assert life.table.resolve("good", "") is before


async def test_load_with_files_serves_those_alone(start: Start, root: Path) -> None:
    life = await start("good", mode="explicit")
    files = {"5/model.onnx": (root / "good/1/model.onnx").read_bytes()}
    for name in ("good", "fresh"):
        await life.control.load(name, Override("{}", files))
    assert life.rows() == {"good/5": "READY", "fresh/5": "READY"}
    await life.control.unload("fresh")
    assert life.rows() == {"good/5": "READY"}


async def test_change_goes_on_when_nobody_waits(start: Start) -> None:
    life = await start(mode="explicit")
    load = asyncio.create_task(life.control.load("good", NO_OVERRIDE))
    await asyncio.sleep(0)
    load.cancel()
    async with asyncio.timeout(DEADLINE_S):
        while life.rows() != {"good/1": "READY"}:  # noqa: ASYNC110 - the table tells nobody
            await asyncio.sleep(0.001)


async def test_load_under_way_is_given_up_when_the_server_stops(
    start: Start, add_stuck: Callable[[str], Path]
) -> None:
    add_stuck("waits")
    life = await start(mode="explicit")
    load = asyncio.create_task(life.control.load("waits", NO_OVERRIDE))
    async with asyncio.timeout(DEADLINE_S):
        while life.rows().get("waits/1") != "LOADING":  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
    life.control.stop()
    assert "stopping" in await refused(load, NotReady)
    assert "stopping" in await refused(life.control.load("good", NO_OVERRIDE), NotReady)


async def test_clients_wait_until_the_start_is_over(
    root: Path, add_stuck: Callable[[str], Path]
) -> None:
    add_stuck("waits")
    life = Life(root, mode="explicit")
    begin = asyncio.create_task(life.control.start(await life.control.read(), ["waits"]))
    await asyncio.sleep(0)
    assert "try again" in await refused(life.control.load("good", NO_OVERRIDE), NotReady)
    begin.cancel()
    await asyncio.wait([begin])
    life.control.stop()
    life.controller.close()


async def test_reread_follows_only_what_is_loaded(start: Start, root: Path) -> None:
    loads(root, "other")
    life = await start("good", mode="explicit")
    loads(root, "good", version=2)
    await life.control.reread()
    assert life.rows() == {"good/2": "READY", "other/": "UNAVAILABLE"}


# the repository


async def test_reread_follows_the_repository(start: Start, root: Path) -> None:
    loads(root, "goes")
    life = await start()
    shutil.rmtree(root / "goes")
    loads(root, "good", version=2)
    loads(root, "comes")
    write(root, "bad/1/model.onnx", "no model")
    await life.control.reread()
    assert life.rows() == {"bad/1": "UNAVAILABLE", "comes/1": "READY", "good/2": "READY"}


async def test_poll_follows_the_repository(start: Start, root: Path) -> None:
    loads(root, "goes")
    life = await start(mode="poll")
    shutil.rmtree(root / "goes")
    loads(root, "good", version=2)
    loads(root, "comes")
    await life.settled()
    assert life.rows() == {"comes/1": "READY", "good/2": "READY"}
    (root / "good/2/model.onnx").write_text("no model")
    await life.settled()
    assert life.rows() == {"comes/1": "READY", "good/2": "READY"}
    assert "goes on as it was" in life.reason("good")


async def test_poll_of_a_model_whose_settings_break_leaves_it(start: Start, root: Path) -> None:
    life = await start(mode="poll")
    write(root, "good/model.yaml", "no_such: 1")
    await life.settled()
    assert life.rows() == {"good/1": "READY"}
    assert "no_such" in life.reason("good")
    (root / "good/model.yaml").unlink()
    await life.settled()
    assert life.reason("good") == ""


async def test_poll_does_not_take_an_empty_repository_for_a_wish(
    start: Start, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = await start(mode="poll")
    shutil.move(root / "good", root.parent / f"{root.name}-away")
    for _ in range(3):
        await life.settled()
    assert life.rows() == {"good/1": "READY"}
    assert caplog.text.count("cannot be followed") == 1


async def test_poll_may_begin_with_nothing(root: Path, start: Start) -> None:
    shutil.rmtree(root / "good")
    life = await start(mode="poll")
    loads(root, "good")
    await life.settled()
    assert life.rows() == {"good/1": "READY"}


async def test_poll_looks_by_itself(root: Path) -> None:
    life = Life(root, mode="poll", poll_s=0.01)
    await life.control.start(await life.control.read())
    loads(root, "good", version=2)
    async with asyncio.timeout(DEADLINE_S):
        while life.rows() != {"good/2": "READY"}:  # noqa: ASYNC110 - the table tells nobody
            await asyncio.sleep(0.001)
    life.control.stop()
    life.controller.close()


# a folder that has to be brought up to date


async def test_folder_is_brought_up_to_date_before_each_look(start: Start, root: Path) -> None:
    renewed: list[str] = []

    def renew() -> None:
        if not renewed:
            loads(root, "more")
        renewed.append("")

    life = await start(mode="poll", renew=renew)
    assert renewed == []
    await life.settled()
    assert (len(renewed), life.rows()["more/1"]) == (2, "READY")


@pytest.mark.parametrize("mode", ["none", "explicit"])
async def test_folder_is_brought_up_to_date_when_asked(start: Start, root: Path, mode: str) -> None:
    life = await start(mode=mode, renew=lambda: loads(root, "more"))
    if mode == "none":
        await life.control.reread()
    else:
        await life.control.load("more", NO_OVERRIDE)
    assert life.rows()["more/1"] == "READY"


async def test_folder_that_cannot_be_brought_up_to_date_stays_served(
    start: Start, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def renew() -> None:
        raise RepositoryError(path="s3://bucket", problem="does not answer", remedy="try again")

    life = await start(mode="poll", renew=renew)
    loads(root, "more")
    await life.settled()
    await life.control.reread()
    assert life.rows() == {"good/1": "READY"}
    assert caplog.text.count("the repository cannot be followed, all goes on as it was") == 1
    assert "the repository is not read again, all goes on as it was" in caplog.text
