"""A gateway follows the authority through all that may happen to it, and never waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from serve.errors import NotFound, Unavailable, Unsupported
from serve.executors.ray.authority_link import AuthorityLink, Pace, Unreachable
from serve.executors.ray.traffic_authority import Told
from serve.executors.remote.messages import Failure
from serve.traffic.operations import Rollback
from serve.traffic.state import ModelState, TrafficState

PATIENCE_S = 30.0
QUICK = Pace(poll=0.01, answer=0.01, again=(0.001, 0.002), first=0.05, report=0.001, work=0.01)
PATIENT = Pace(poll=0.01, answer=0.01, again=(0.001, 0.002), first=PATIENCE_S, report=0.001)


class Actor:
    """An authority that can be lost, and start again with other marks."""

    def __init__(self) -> None:
        self.up = True
        self.run = 1
        self.revision = 0
        self.news = asyncio.Event()
        self.called: list[str] = []
        self.reports: list[Any] = []
        self.fails: Failure | None = None
        self.at_apply: Callable[[], Awaitable[object]] | None = None

    async def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        await asyncio.sleep(0)
        self.called.append(method)
        if not self.up:
            raise Unreachable("it is gone")
        if self.fails is not None:
            return self.fails
        return await getattr(self, method)(*arguments)

    async def spec(self) -> str:
        return "a spec"

    async def changes(self, known: str, wait_s: float) -> Told | None:
        mark = f"{self.run}:{self.revision}"
        if known != mark:
            return Told(mark, TrafficState(revision=self.revision))
        try:
            await asyncio.wait_for(self.news.wait(), wait_s)
        except TimeoutError:
            return None
        self.news.clear()
        return await self.changes(known, wait_s)

    async def report(self, gateway: str, models: Any) -> None:
        self.reports.append((gateway, models))

    async def apply(self, model: str, operation: Any, who: str, why: str) -> Any:
        if self.at_apply is not None:
            await self.at_apply()
        return ModelState(labels={model: 1}, basis=f"{who} {why}")

    async def traffic_report(self, model: str) -> Any:
        return Failure.of(NotFound(f"no model {model}"))

    def change(self) -> None:
        self.revision += 1
        self.news.set()


class Gateway:
    """Follows, and reports what the test says."""

    def __init__(self, calls: Actor, pace: Pace = PATIENT) -> None:
        self.link = AuthorityLink(calls, "gateway-1", pace)
        self.revisions: list[int] = []
        self.seen: dict[str, Any] = {}

    def follow(self, state: TrafficState) -> None:
        self.revisions.append(state.revision)

    async def start(self) -> None:
        await self.link.start(self.follow, lambda: dict(self.seen))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@pytest.fixture
async def actor() -> Actor:
    return Actor()


async def test_gateway_has_the_rules_when_it_starts_and_every_change(actor: Actor) -> None:
    gateway = Gateway(actor)
    await gateway.start()
    assert gateway.revisions == [0]
    for revision in (1, 2):
        actor.change()
        await gateway.until(lambda revision=revision: gateway.revisions[-1] == revision)
    gateway.link.close()
    assert gateway.revisions == [0, 1, 2]


async def test_gateway_without_an_authority_starts_and_says_so(
    actor: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "penstock.traffic")
    actor.up = False
    gateway = Gateway(actor, QUICK)
    await gateway.start()
    assert gateway.revisions == []
    actor.up = True
    await gateway.until(lambda: gateway.revisions)
    gateway.link.close()
    assert [record.getMessage() for record in caplog.records] == [
        "no traffic rules from their authority, those of model.yaml count: it is gone",
        "labels and traffic are those of model.yaml until the authority over them answers",
        "traffic rules come from their authority again",
    ]


async def test_last_rules_stay_while_the_authority_is_gone(
    actor: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Gateway(actor)
    await gateway.start()
    actor.up = False
    actor.news.set()
    actor.called.clear()
    await gateway.until(lambda: actor.called.count("changes") > 5)
    assert gateway.revisions == [0]
    actor.run += 1  # another process, which has read the file
    actor.up = True
    await gateway.until(lambda: len(gateway.revisions) == 2)
    actor.change()
    await gateway.until(lambda: gateway.revisions[-1] == 1)
    gateway.link.close()
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert line.getMessage().endswith("the last ones count: it is gone")


async def test_authority_whose_file_is_damaged_is_no_authority(actor: Actor) -> None:
    actor.fails = Failure.of(Unavailable("/state is damaged"))
    gateway = Gateway(actor, QUICK)
    await gateway.start()
    assert gateway.revisions == []
    with pytest.raises(Unavailable, match="/state is damaged"):
        await gateway.link.audit("m", 10)
    gateway.link.close()


async def test_rules_that_cannot_be_followed_end_nothing(
    actor: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def follow(state: TrafficState) -> None:
        seen.append(state.revision)
        if state.revision == 1:
            raise ZeroDivisionError

    link = AuthorityLink(actor, "gateway-1", PATIENT)
    await link.start(follow, dict)
    for revision in (1, 2):
        actor.change()
        async with asyncio.timeout(PATIENCE_S):
            while seen[-1] != revision:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    link.close()
    assert "the rules of revision 1 are not followed" in caplog.text


async def test_what_is_seen_is_reported_again_and_again_and_once_when_it_is_over(
    actor: Actor,
) -> None:
    gateway = Gateway(actor)
    await gateway.start()
    await asyncio.sleep(0.02)
    assert actor.reports == []
    gateway.seen = {"m": {3: "seen"}}
    await gateway.until(lambda: len(actor.reports) > 2)
    assert actor.reports[0] == ("gateway-1", {"m": {3: "seen"}})
    gateway.seen = {}
    await gateway.until(lambda: actor.reports[-1] == ("gateway-1", {}))
    number = len(actor.reports)
    await asyncio.sleep(0.02)
    assert len(actor.reports) == number
    gateway.link.close()


async def test_lost_report_is_made_good(actor: Actor) -> None:
    gateway = Gateway(actor)
    gateway.seen = {"m": {}}
    actor.up = False
    starting = asyncio.ensure_future(gateway.start())
    await gateway.until(lambda: actor.called.count("report") > 1)
    actor.up = True
    await gateway.until(lambda: actor.reports)
    await starting
    gateway.link.close()


async def test_operation_waits_for_an_authority_that_is_restarted_and_is_done_once(
    actor: Actor,
) -> None:
    actor.up = False
    link = AuthorityLink(actor, "gateway-1", PATIENT)
    applying = asyncio.ensure_future(link.apply("m", Rollback(), who="ann", why="slow"))
    while actor.called.count("spec") < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert "apply" not in actor.called
    actor.up = True
    assert await applying == ModelState(labels={"m": 1}, basis="ann slow")
    assert actor.called.count("apply") == 1


async def test_operation_without_an_authority_is_refused_and_changes_nothing(actor: Actor) -> None:
    actor.up = False
    link = AuthorityLink(actor, "gateway-1", QUICK)
    with pytest.raises(Unavailable, match=r"does not answer \(it is gone\); all rules stay"):
        await link.apply("m", Rollback(), who="ann")
    assert "apply" not in actor.called


async def test_operation_during_which_the_authority_is_lost_may_have_been_done(
    actor: Actor,
) -> None:
    async def lose() -> None:
        raise Unreachable("it was killed")

    actor.at_apply = lose
    link = AuthorityLink(actor, "gateway-1", QUICK)
    with pytest.raises(Unavailable, match=r"lost before it answered \(it was killed\): look at"):
        await link.apply("m", Rollback(), who="ann")
    assert actor.called.count("apply") == 1


async def test_error_of_the_authority_is_the_gateways(actor: Actor) -> None:
    with pytest.raises(NotFound, match="no model other"):
        await AuthorityLink(actor, "gateway-1", QUICK).traffic_report("other")


async def test_model_control_is_said_not_to_be_offered(actor: Actor) -> None:
    link = AuthorityLink(actor, "gateway-1", QUICK)
    for ask in (link.load, link.unload):
        with pytest.raises(Unsupported, match="SIGHUP"):
            await ask("m", who="ann")
