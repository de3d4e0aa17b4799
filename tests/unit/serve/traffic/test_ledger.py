"""What is written, and what counts on top of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serve.errors import RepositoryError, Unavailable
from serve.traffic.ledger import Ledger
from serve.traffic.state import Audit, ModelState, TrafficState
from serve.traffic.store import StaleError, Store


class FullDisk(Store):
    """A file that can be read, and be written to unless the disk is ``full``."""

    full = False

    def commit(self, revision: int, state: ModelState | None, line: Audit) -> Audit:
        if self.full:
            raise Unavailable("the disk is full")
        return super().commit(revision, state, line)


def state_of(version: int) -> ModelState:
    return ModelState(labels={"stable": version}, basis="b")


def line_of(before: ModelState, after: ModelState, model: str = "m") -> Audit:
    return Audit(number=0, time_s=1.0, who="ann", model=model, what="x", before=before, after=after)


NOTHING = ModelState()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.sqlite3"


@pytest.fixture
def store(path: Path) -> FullDisk:
    return FullDisk(path)


@pytest.fixture
async def ledger(store: FullDisk) -> AsyncIterator[Ledger]:
    ledger = Ledger(store, asyncio.get_running_loop())
    await ledger.load()
    yield ledger
    await ledger.close()


def written(path: Path) -> TrafficState:
    """What another process reads."""
    other = Store(path)
    state = other.load()
    other.close()
    return state


def replace_by_rubbish(path: Path) -> Path:
    """Put a file there that is none of ours; gives where the good one is now."""
    kept = path.rename(path.with_name("kept"))
    path.write_bytes(b"these are no rules\n" * 400)
    return kept


def other_writes(path: Path, line: Audit) -> None:
    """Another process makes a change."""
    other = Store(path)
    other.commit(other.load().revision, line.after, line)
    other.close()


async def test_change_counts_once_it_is_written(ledger: Ledger, path: Path) -> None:
    told: list[TrafficState] = []
    ledger.listen(told.append)
    await ledger.change(line_of(NOTHING, state_of(3)))
    assert told == [ledger.state] == [TrafficState(revision=1, models={"m": state_of(3)})]
    assert written(path) == ledger.state


async def test_state_that_says_nothing_is_not_kept(ledger: Ledger, path: Path) -> None:
    await ledger.change(line_of(NOTHING, state_of(3)))
    await ledger.change(line_of(state_of(3), ModelState(basis="b")))
    assert ledger.state == written(path) == TrafficState(revision=2)


async def test_change_of_other_rules_than_those_that_count_is_refused(ledger: Ledger) -> None:
    await ledger.change(line_of(NOTHING, state_of(3)))
    with pytest.raises(StaleError):
        await ledger.change(line_of(NOTHING, state_of(4)))
    assert ledger.state.of("m") == state_of(3)


async def test_change_now_counts_before_it_is_written(ledger: Ledger, path: Path) -> None:
    ledger.change_now(line_of(NOTHING, state_of(3)))
    ledger.change_now(line_of(NOTHING, state_of(4), "n"))
    assert ledger.state == TrafficState(revision=2, models={"m": state_of(3), "n": state_of(4)})
    assert written(path) == TrafficState()
    assert await ledger.write() == ""
    assert written(path) == ledger.state
    assert [line.model for line in await ledger.audit("", 9, 0)] == ["n", "m"]


async def test_change_that_cannot_be_written_does_not_count(
    ledger: Ledger, store: FullDisk
) -> None:
    store.full = True
    with pytest.raises(Unavailable):
        await ledger.change(line_of(NOTHING, state_of(3)))
    assert ledger.state == TrafficState()


async def test_change_waits_for_what_counts_and_is_not_written(
    ledger: Ledger, store: FullDisk
) -> None:
    store.full = True
    ledger.change_now(line_of(NOTHING, state_of(3)))
    assert await ledger.write() == "the disk is full"
    with pytest.raises(Unavailable):
        await ledger.change(line_of(NOTHING, state_of(4), "n"))
    store.full = False
    await ledger.change(line_of(NOTHING, state_of(4), "n"))
    assert [line.model for line in await ledger.audit("", 9, 0)] == ["n", "m"]


async def test_what_counts_goes_on_top_of_what_another_has_written(
    ledger: Ledger, store: FullDisk, path: Path
) -> None:
    store.full = True
    ledger.change_now(line_of(NOTHING, state_of(3)))
    other_writes(path, line_of(NOTHING, state_of(2)))
    other_writes(path, line_of(NOTHING, state_of(4), "n"))
    await ledger.follow_others()
    assert ledger.state == TrafficState(revision=3, models={"m": state_of(3), "n": state_of(4)})
    store.full = False
    assert await ledger.write() == ""
    assert written(path) == ledger.state


async def test_file_that_turns_bad_leaves_the_rules_as_they_are(
    ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.change(line_of(NOTHING, state_of(3)))
    other_writes(path, line_of(state_of(3), state_of(4)))
    kept = replace_by_rubbish(path)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await ledger.follow_others()
    assert ledger.state.of("m") == state_of(3)
    assert len(caplog.records) == 1
    ledger.change_now(line_of(state_of(3), state_of(2)))
    assert "is damaged" in await ledger.write()
    with pytest.raises(RepositoryError):
        await ledger.load()
    kept.replace(path)
    await ledger.follow_others()
    assert written(path) == ledger.state == TrafficState(revision=3, models={"m": state_of(2)})
