"""The authority: what counts, what is written, and what is judged, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serve.config import ModelConfig
from serve.errors import AlreadyExists, InvalidRequest, NotFound, RepositoryError, Unavailable
from serve.traffic.authority import Authority, VersionSeen
from serve.traffic.operations import (
    AdvanceRollout,
    PauseRollout,
    Rollback,
    SetLabel,
    SetSplit,
    StartRollout,
)
from serve.traffic.samples import Sample, latency_bin
from serve.traffic.state import ModelState, Rollout, RolloutStatus, TrafficState
from serve.traffic.store import Store

STEP = 20


class Folders:
    """A repository whose model ``m`` has three versions, to be changed while it is looked at."""

    def __init__(self) -> None:
        self.yaml: dict[str, Any] = {}
        self.on_disk: tuple[int, ...] = (2, 3, 4)
        self.broken = ""

    def config(self, model: str) -> ModelConfig:
        if model != "m" or not self.on_disk:
            raise NotFound(f"no model {model}")
        if self.broken:
            raise RepositoryError(path="model.yaml", problem=self.broken, remedy="mend it")
        return ModelConfig.model_validate(self.yaml)

    def versions(self, model: str) -> tuple[int, ...]:
        if model != "m" or not self.on_disk:
            raise NotFound(f"no model {model}")
        return self.on_disk


class FlakyStore(Store):
    """A file on a disk that is full when told so, or that hangs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = False
        self.hangs: threading.Event | None = None

    def commit(self, *arguments: Any) -> Any:
        if self.hangs is not None:
            self.hangs.wait(60)
        if self.full:
            raise Unavailable("nothing is changed, the disk is full; see --state")
        return super().commit(*arguments)

    def changed(self) -> bool:
        if self.hangs is not None:
            self.hangs.wait(60)
        return super().changed()


class Site:
    """An authority, with what its one gateway reports, and a clock."""

    def __init__(self, path: Path, folders: Folders, name: str = "gateway") -> None:
        self.store = FlakyStore(path)
        self.folders = folders
        self.name = name
        self.now_s = 1000.0
        self.samples: dict[int, Sample] = {}
        self.failed: dict[int, str] = {}
        self.states: list[TrafficState] = []
        loop = asyncio.get_running_loop()
        self.authority = Authority(self.store, folders, lambda: self.now_s, loop)
        self.authority.listen(self.states.append)

    def report(self) -> None:
        seen = {
            version: VersionSeen(
                state="UNAVAILABLE" if version in self.failed else "READY",
                reason=self.failed.get(version, ""),
                sample=self.samples.get(version, Sample()),
            )
            for version in (2, 3, 4)
        }
        self.authority.report(self.name, {"m": seen})

    async def tick(self, times: int = 1, **counts: Mapping[str, int]) -> None:
        """Let time pass; ``v4={"failed": 3}`` is what version 4 counts in each half second."""
        for _ in range(times):
            self.now_s += 0.5
            for version, more in counts.items():
                number = int(version[1:])
                known = self.samples.get(number, Sample())
                answered = more.get("answered", 0)
                sample = Sample(
                    answered=answered,
                    failed=more.get("failed", 0),
                    latencies={latency_bin(2_000_000): answered},
                )
                self.samples[number] = known.plus(sample)
            self.report()
            await self.authority.tick()

    async def good_ticks(self, times: int = 1) -> None:
        await self.tick(times, v3={"answered": 200}, v4={"answered": 100})

    @property
    def state(self) -> ModelState:
        return self.authority.state.of("m")

    @property
    def rollout(self) -> Rollout:
        assert self.state.rollout is not None
        return self.state.rollout

    async def begin(self, *steps: float, hold_s: float = 2.0) -> None:
        """Label version 3 stable, and roll out version 4 up to its first step."""
        await self.authority.apply("m", SetLabel(label="stable", version=3), who="ann")
        operation = StartRollout(to=4, steps=steps or (5.0, 100.0), hold_s=hold_s)
        await self.authority.apply("m", operation, who="ann")
        await self.good_ticks(3)
        assert self.rollout.status is RolloutStatus.HOLDING

    def written(self) -> TrafficState:
        other = Store(self.store.path)
        state = other.load()
        other.close()
        return state


Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks wait for the disk of the tests, however slow it is."""
    monkeypatch.setattr("serve.traffic.authority.PATIENCE_S", 60.0)


@pytest.fixture
def folders() -> Folders:
    return Folders()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.sqlite3"


@pytest.fixture
async def make(path: Path, folders: Folders) -> AsyncIterator[Make]:
    sites: list[Site] = []

    async def started(name: str = "gateway") -> Site:
        site = Site(path, folders, name)
        await site.authority.start()
        site.report()
        sites.append(site)
        return site

    yield started
    for site in sites:
        await site.authority.close()


@pytest.fixture
async def site(make: Make) -> Site:
    made: Site = await make()
    return made


async def test_change_is_told_and_written_and_in_the_log(site: Site) -> None:
    operation = SetLabel(label="stable", version=3)
    after = await site.authority.apply("m", operation, who="ann", why="it is better")
    assert after.labels == {"stable": 3, "previous": 4}
    assert [state.of("m") for state in site.states] == [after]
    assert site.written() == site.authority.state == site.states[-1]
    (line,) = await site.authority.audit()
    assert (line.who, line.model, line.why) == ("ann", "m", "it is better")
    assert line.what == 'set label: label "stable", version 3'
    assert (line.before, line.after) == (ModelState(), after)
    assert line.time_s == site.now_s


async def test_revision_grows_by_one_for_each_change(site: Site) -> None:
    for version in (3, 4, 2):
        await site.authority.apply("m", SetLabel(label="x", version=version), who="ann")
    assert [state.revision for state in site.states] == [1, 2, 3]


@pytest.mark.parametrize("who", ["", "a\nb", "x" * 1001])
async def test_change_by_a_name_that_is_none_is_refused(site: Site, who: str) -> None:
    with pytest.raises(InvalidRequest, match="who"):
        await site.authority.apply("m", SetLabel(label="x", version=3), who=who)


@pytest.mark.parametrize("why", ["a\0b", "x" * 1001])
async def test_reason_that_is_too_long_or_not_text_is_refused(site: Site, why: str) -> None:
    with pytest.raises(InvalidRequest, match="why"):
        await site.authority.apply("m", Rollback(), who="ann", why=why)


async def test_change_of_an_unknown_model_is_not_found(site: Site) -> None:
    for operation in (SetLabel(label="x", version=3), Rollback()):
        with pytest.raises(NotFound, match="no model"):
            await site.authority.apply("other", operation, who="ann")
    with pytest.raises(NotFound):
        await site.authority.traffic_report("other")


async def test_listener_that_fails_keeps_nothing_from_others(site: Site) -> None:
    told: list[TrafficState] = []

    def broken(_: TrafficState) -> None:
        raise RuntimeError("it is broken")

    site.authority.listen(broken)
    site.authority.listen(told.append)
    await site.authority.apply("m", SetLabel(label="x", version=3), who="ann")
    assert len(told) == 1


async def test_whoever_gives_up_waiting_is_followed_nevertheless(site: Site) -> None:
    site.store.hangs = threading.Event()
    asking = asyncio.ensure_future(
        site.authority.apply("m", SetLabel(label="x", version=3), who="ann")
    )
    await asyncio.sleep(0)
    asking.cancel()
    site.store.hangs.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await site.authority.apply("m", SetLabel(label="y", version=3), who="ann")
    assert site.state.labels == {"x": 3, "y": 3}


async def test_good_version_is_rolled_out_and_stable_in_the_end(site: Site) -> None:
    await site.begin(5.0, 50.0, 100.0)
    shares = {site.rollout.percent}
    for _ in range(200):
        await site.good_ticks()
        shares.add(site.rollout.percent)
        if not site.rollout.active:
            break
    assert site.rollout.status is RolloutStatus.COMPLETED
    assert shares == {5.0, 50.0, 100.0}
    assert site.state.labels == {"stable": 4, "previous": 3}
    assert site.written() == site.authority.state
    what = [line.what for line in await site.authority.audit("m")]
    assert what[:4] == [
        "complete the rollout of version 4",
        "go on with the rollout of version 4 at 100 %",
        "go on with the rollout of version 4 at 50 %",
        "go on with the rollout of version 4 at 5 %",
    ]


async def test_bad_version_is_rolled_back_and_why_is_in_the_log(site: Site) -> None:
    await site.begin()
    ticks = 0
    while site.rollout.active and ticks < STEP:
        await site.tick(v3={"answered": 200}, v4={"answered": 5, "failed": 5})
        ticks += 1
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    assert "errors" in site.rollout.reason
    assert site.state.labels == {"stable": 3, "previous": 4}
    line = (await site.authority.audit("m", limit=1))[0]
    assert (line.who, line.what) == ("penstock", "roll back version 4")
    assert line.why == site.rollout.reason
    assert site.written() == site.authority.state


async def test_version_that_is_not_ready_any_more_is_rolled_back(site: Site) -> None:
    await site.begin()
    site.failed[4] = "its session ended"
    await site.good_ticks()
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    assert site.rollout.reason == "version 4 is not ready: its session ended"


async def test_rollout_stays_while_its_folder_is_gone(site: Site, folders: Folders) -> None:
    await site.begin()
    folders.on_disk = (2, 3)
    await site.good_ticks(STEP)
    assert (site.rollout.status, site.rollout.step) == (RolloutStatus.HOLDING, 0)
    report = await site.authority.traffic_report("m")
    assert "not in the repository any more" in report.verdicts[0].text
    with pytest.raises(Unavailable, match="not in the repository any more"):
        await site.authority.apply("m", AdvanceRollout(), who="ann")
    folders.on_disk = (2, 3, 4)
    await site.good_ticks(STEP)
    assert site.rollout.step == 1 or not site.rollout.active


async def test_second_rollout_is_refused_while_one_is_under_way(site: Site) -> None:
    await site.begin()
    with pytest.raises(AlreadyExists, match="penstock models rollback m"):
        await site.authority.apply("m", StartRollout(to=2), who="bob")


async def test_restart_goes_on_at_the_step_which_is_held_anew(site: Site, make: Make) -> None:
    await site.begin(5.0, 50.0, 100.0)
    while site.rollout.step < 1:
        await site.good_ticks()
    before = site.rollout
    again: Site = await make("another gateway")
    again.now_s = site.now_s - 500.0  # the clock was put back meanwhile
    await again.authority.start()
    await again.good_ticks(5)  # gateways may have yet to report
    assert again.rollout == before
    while again.rollout == before:
        await again.good_ticks()
    assert again.now_s < site.now_s
    assert (again.rollout.step, again.rollout.status) == (1, RolloutStatus.HOLDING)
    assert (again.rollout.step_began_s, again.rollout.holds) == (again.now_s, before.holds + 1)
    for _ in range(200):
        await again.good_ticks()
    assert again.rollout.status is RolloutStatus.COMPLETED


async def test_pause_lasts_over_a_restart(site: Site, make: Make) -> None:
    await site.begin()
    await site.authority.apply("m", PauseRollout(), who="ann")
    again: Site = await make("another gateway")
    again.now_s = site.now_s + 100.0
    await again.authority.start()
    await again.good_ticks(3 * STEP)
    assert again.rollout.holds > site.rollout.holds
    assert (again.rollout.step, again.rollout.status) == (0, RolloutStatus.PAUSED)


async def test_full_disk_refuses_a_change_which_nobody_follows(site: Site) -> None:
    site.store.full = True
    with pytest.raises(Unavailable, match=r"nothing is changed.*--state"):
        await site.authority.apply("m", SetLabel(label="x", version=3), who="ann")
    assert site.states == []
    assert site.state == ModelState()


async def test_rollback_counts_on_a_full_disk_and_is_written_later(site: Site) -> None:
    await site.begin()
    site.store.full = True
    with pytest.raises(Unavailable, match="rolled back, and all follow; but this is not written"):
        await site.authority.apply("m", Rollback(), who="ann", why="it fails")
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    assert site.states[-1] == site.authority.state
    with pytest.raises(Unavailable, match="disk is full"):
        await site.authority.apply("m", SetLabel(label="x", version=3), who="ann")
    await site.good_ticks()
    assert site.written() != site.authority.state
    site.store.full = False
    await site.good_ticks()
    assert site.written() == site.authority.state
    (line,) = await site.authority.audit("m", limit=1)
    assert (line.who, line.what, line.why) == ("ann", "rollback", "it fails")


async def test_bad_version_is_rolled_back_on_a_full_disk(site: Site) -> None:
    await site.begin()
    site.store.full = True
    await site.tick(STEP, v3={"answered": 200}, v4={"answered": 5, "failed": 5})
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    site.store.full = False
    await site.good_ticks()
    assert site.written() == site.authority.state


async def test_disk_that_hangs_holds_up_no_rollback(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.begin()
    monkeypatch.setattr("serve.traffic.authority.PATIENCE_S", 0.01)
    site.store.hangs = threading.Event()
    await site.tick(STEP, v3={"answered": 200}, v4={"answered": 5, "failed": 5})
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    site.store.hangs.set()
    while site.written() != site.authority.state:
        await site.good_ticks()


async def test_rollback_overtakes_a_change_that_hangs(site: Site) -> None:
    await site.begin()
    site.store.hangs = threading.Event()
    advancing = asyncio.ensure_future(site.authority.apply("m", AdvanceRollout(), who="bob"))
    label = asyncio.ensure_future(
        site.authority.apply("m", SetLabel(label="x", version=2), who="bob")
    )
    await asyncio.sleep(0)
    back = asyncio.ensure_future(site.authority.apply("m", Rollback(), who="ann"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    site.store.hangs.set()
    results = await asyncio.gather(advancing, label, back, return_exceptions=True)
    assert isinstance(results[0], ModelState | NotFound)
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    assert site.written() == site.authority.state


async def test_rollback_works_while_model_yaml_is_broken(site: Site, folders: Folders) -> None:
    await site.begin()
    folders.broken = "it is half written"
    with pytest.raises(RepositoryError, match="half written"):
        await site.authority.apply("m", SetLabel(label="x", version=3), who="ann")
    await site.good_ticks()
    assert site.rollout.active
    await site.authority.apply("m", Rollback(), who="ann")
    assert site.rollout.status is RolloutStatus.ROLLED_BACK


async def test_bad_version_is_rolled_back_while_model_yaml_is_broken(
    site: Site, folders: Folders
) -> None:
    await site.begin()
    folders.broken = "it is half written"
    await site.tick(STEP, v3={"answered": 200}, v4={"answered": 5, "failed": 5})
    assert site.rollout.status is RolloutStatus.ROLLED_BACK


async def test_model_yaml_has_the_last_word_once_it_changes(site: Site, folders: Folders) -> None:
    await site.begin()
    folders.yaml = {"labels": {"stable": 2}}
    await site.good_ticks()
    assert site.rollout.status is RolloutStatus.SUPERSEDED
    assert (site.state.labels, site.state.traffic) == (None, None)
    (line,) = await site.authority.audit("m", limit=1)
    assert (line.who, line.what) == ("penstock", "follow model.yaml, which has changed")
    report = await site.authority.traffic_report("m")
    assert report.labels == {"stable": 2}
    assert site.written() == site.authority.state


async def test_rules_without_a_rollout_are_dropped_too(site: Site, folders: Folders) -> None:
    await site.authority.apply("m", SetLabel(label="stable", version=3), who="ann")
    folders.yaml = {"owner": "ann"}
    await site.tick(5)
    assert site.state.labels == {"stable": 3, "previous": 4}
    folders.yaml = {"labels": {"stable": 2}}
    await site.tick(5)
    assert site.authority.state.models == {}


async def test_rules_wait_for_a_model_that_is_gone(site: Site, folders: Folders) -> None:
    await site.begin()
    folders.on_disk = ()
    with pytest.raises(NotFound):
        await site.authority.apply("m", SetLabel(label="x", version=3), who="ann")
    await site.good_ticks(STEP)
    assert (site.rollout.status, site.rollout.step) == (RolloutStatus.HOLDING, 0)


async def test_other_server_on_the_file_is_followed(site: Site, make: Make) -> None:
    other: Site = await make("other")
    await site.authority.apply("m", SetLabel(label="stable", version=3), who="ann")
    await other.tick()
    assert other.authority.state == site.authority.state
    await other.authority.apply("m", SetSplit(split={"3": 1, "4": 1}), who="bob")
    await site.authority.apply("m", SetLabel(label="x", version=2), who="ann")
    assert site.state.labels == {"stable": 3, "previous": 4, "x": 2}
    assert site.state.traffic == {"split": {"3": 1.0, "4": 1.0}}
    assert len(await site.authority.audit()) == 3


async def test_one_of_two_servers_lets_a_rollout_go_on(site: Site, make: Make) -> None:
    other: Site = await make("other")
    await site.begin()
    other.now_s = site.now_s
    for _ in range(5 * STEP):
        await site.good_ticks()
        await other.good_ticks()
    assert site.rollout.status is RolloutStatus.COMPLETED
    assert other.authority.state == site.authority.state
    whats = [line.what for line in await site.authority.audit("m")]
    assert len(whats) == len(set(whats))


async def test_each_of_two_servers_rolls_back_what_it_sees(site: Site, make: Make) -> None:
    other: Site = await make("other")
    await site.begin(hold_s=1000.0)
    other.now_s = site.now_s
    await other.good_ticks(10)  # it has come to know the step
    for _ in range(STEP):
        await site.good_ticks()
        await other.tick(v3={"answered": 200}, v4={"answered": 5, "failed": 5})
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    assert other.authority.state == site.authority.state


async def test_rollback_on_a_full_disk_stands_over_the_change_of_another_server(
    site: Site, make: Make
) -> None:
    await site.begin()
    other: Site = await make("other")
    site.store.full = True
    with pytest.raises(Unavailable):
        await site.authority.apply("m", Rollback(), who="ann")
    await other.authority.apply("m", SetLabel(label="x", version=2), who="bob")
    site.store.full = False
    await site.good_ticks()
    assert site.rollout.status is RolloutStatus.ROLLED_BACK
    assert site.written() == site.authority.state
    assert [line.who for line in await site.authority.audit("m", limit=2)] == ["ann", "bob"]


async def test_report_shows_rules_and_how_versions_fare(site: Site) -> None:
    await site.begin()
    report = await site.authority.traffic_report("m")
    assert report.revision == site.authority.state.revision
    assert {arm.version: arm.weight for arm in report.arms} == {2: 0, 3: 0.95, 4: 0.05}
    assert {arm.version: arm.requests for arm in report.arms} == {2: 0, 3: 600, 4: 300}
    assert report.rollout == site.rollout
    assert {verdict.state for verdict in report.verdicts} <= {"holds", "waiting", "off"}
    assert msgspec.json.decode(msgspec.json.encode(report))["model"] == "m"


async def test_report_is_there_while_model_yaml_is_broken(site: Site, folders: Folders) -> None:
    await site.begin()
    folders.broken = "it is half written"
    assert (await site.authority.traffic_report("m")).rollout == site.rollout


@pytest.mark.parametrize("limit", [0, 10_001])
async def test_audit_of_too_many_lines_is_refused(site: Site, limit: int) -> None:
    with pytest.raises(InvalidRequest, match="limit: should be from 1 to 10000"):
        await site.authority.audit(limit=limit)
