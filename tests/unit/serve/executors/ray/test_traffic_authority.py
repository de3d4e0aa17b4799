"""The actor around the authority: who waits is told at once, and errors come out as data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from serve.config import ServerSettings
from serve.errors import NotFound, PenstockError, Unavailable
from serve.executors.ray import traffic_authority as module
from serve.executors.ray.traffic_authority import (
    AuthoritySpec,
    Told,
    TrafficAuthority,
    make_authority,
)
from serve.executors.remote.messages import Failure
from serve.traffic.operations import Operation, Rollback, SetLabel
from serve.traffic.state import ModelState, TrafficState

PATIENCE_S = 30.0
SPEC = AuthoritySpec(Path("/state"), Path("/models"), "1.0", "info", "text")


@pytest.fixture(autouse=True)
def _logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "set_up_logs", lambda *_: None)


class Authority:
    """Has one model; ``starts`` are the errors of its first starts."""

    def __init__(self, *starts: PenstockError) -> None:
        self.starts = list(starts)
        self.begun = 0
        self.state = TrafficState()
        self.ticked = asyncio.Event()
        self.reports: dict[str, Mapping[str, Any]] = {}
        self.listeners: list[Callable[[TrafficState], None]] = []

    async def start(self) -> None:
        self.begun += 1
        if self.starts:
            raise self.starts.pop(0)

    def listen(self, listener: Callable[[TrafficState], None]) -> None:
        self.listeners.append(listener)

    def report(self, gateway: str, models: Mapping[str, Any]) -> None:
        self.reports[gateway] = models

    async def apply(self, model: str, operation: Operation, *, who: str, why: str) -> ModelState:
        if model != "m":
            raise NotFound(f"no model {model}")
        assert isinstance(operation, SetLabel)
        state = ModelState(labels={operation.label: operation.version})
        self.state = TrafficState(revision=self.state.revision + 1, models={"m": state})
        for listener in self.listeners:
            listener(self.state)
        return state

    async def tick(self) -> None:
        self.ticked.set()
        raise ZeroDivisionError  # the next one is no worse off

    async def audit(self, model: str, limit: int, before: int) -> list[str]:
        return [f"{model} {limit} {before}"]


def an_actor(authority: Authority) -> TrafficAuthority:
    return TrafficAuthority(SPEC, lambda _: authority)  # type: ignore[arg-type, return-value]


async def told(actor: TrafficAuthority, known: str = "") -> Told:
    answer = await actor.changes(known, PATIENCE_S)
    assert isinstance(answer, Told)
    return answer


async def test_first_call_starts_it_once_for_all_who_call() -> None:
    authority = Authority()
    actor = an_actor(authority)
    one, other = await asyncio.gather(told(actor), told(actor))
    assert one == other
    assert authority.begun == 1
    await asyncio.wait_for(authority.ticked.wait(), PATIENCE_S)


async def test_who_knows_the_rules_waits_for_others() -> None:
    authority = Authority()
    actor = an_actor(authority)
    mark = (await told(actor)).mark
    assert await actor.changes(mark, 0.0) is None
    waiting = [asyncio.ensure_future(told(actor, mark)) for _ in range(3)]
    await asyncio.sleep(0)
    await actor.apply("m", SetLabel(label="stable", version=4), "ann", "")
    for answer in await asyncio.gather(*waiting):
        assert answer.state.of("m").labels == {"stable": 4}
        assert answer.mark != mark


async def test_another_process_has_other_marks() -> None:
    mark = (await told(an_actor(Authority()))).mark
    assert (await told(an_actor(Authority()), mark)).mark != mark


async def test_error_for_users_is_a_failure() -> None:
    actor = an_actor(Authority())
    answer = await actor.apply("other", Rollback(), "ann", "")
    assert answer == Failure("NotFound", "no model other")


async def test_other_error_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    answer = await an_actor(Authority()).apply("m", Rollback(), "ann", "")
    assert answer == Failure("InternalError", "AssertionError in the authority: see its log")
    assert "assert isinstance(operation, SetLabel)" in caplog.text


async def test_file_that_cannot_be_used_is_told_and_tried_again() -> None:
    authority = Authority(Unavailable("/state is damaged"), Unavailable("/state is damaged"))
    actor = an_actor(authority)
    failure = Failure("Unavailable", "/state is damaged")
    assert await actor.changes() == failure
    assert await actor.audit("m", 10, 0) == failure
    assert isinstance(await actor.changes(), Told)
    assert await actor.audit("m", 10, 0) == ["m 10 0"]


async def test_reports_are_handed_on() -> None:
    authority = Authority()
    assert await an_actor(authority).report("gateway-1", {"m": {}}) is None
    assert authority.reports == {"gateway-1": {"m": {}}}


def test_file_of_the_rules_is_in_the_repository_unless_another_is_named() -> None:
    spec = AuthoritySpec.of(ServerSettings(log_level="debug"), Path("/models"))
    assert spec.state == Path("/models/.penstock/state.sqlite3")
    assert (spec.repository, spec.log_level) == (Path("/models"), "debug")
    named = AuthoritySpec.of(ServerSettings(state=Path("/state/file")), Path("/models"))
    assert named.state == Path("/state/file")
    assert named != spec


async def test_rules_outlive_the_actor(tmp_path: Path) -> None:
    (tmp_path / "models/m/4").mkdir(parents=True)
    (tmp_path / "models/m/3").mkdir()
    spec = AuthoritySpec(tmp_path / "state", tmp_path / "models", "1.0", "info", "text")
    first = TrafficAuthority(spec, make_authority)
    assert not isinstance(
        await first.apply("m", SetLabel(label="canary", version=4), "ann", "try it"), Failure
    )
    second = TrafficAuthority(spec)
    state = (await told(second)).state.of("m")
    assert state.labels is not None
    assert state.labels["canary"] == 4
    lines = await second.audit("m", 10, 0)
    assert not isinstance(lines, Failure)
    assert [(line.who, line.why) for line in lines] == [("ann", "try it")]
