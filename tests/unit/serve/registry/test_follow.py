from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from serve.registry.client import problem_with
from serve.registry.follow import SourceFollower
from serve.repository.source import read_source_state
from tests.unit.serve.registry.conftest import FakeRegistry


@pytest.fixture
def follower(registry: FakeRegistry, folder: Path) -> SourceFollower:
    return SourceFollower(folder.parent, lambda: registry)


def stands_for(folder: Path) -> int:
    state = read_source_state(folder)
    return state.number if state is not None else 0


def test_alias_is_followed_forth_and_back(
    registry: FakeRegistry, follower: SourceFollower, folder: Path
) -> None:
    for number in (1, 2):
        registry.add_graph("fraud", number)
    for number in (1, 2, 1):
        registry.aliases["fraud", "champion"] = number
        follower.look()
        assert stands_for(folder) == number
    assert registry.downloads == 2


def test_look_that_finds_nothing_new_is_one_question(
    registry: FakeRegistry, follower: SourceFollower
) -> None:
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    follower.look()
    asked = registry.questions
    follower.look()
    assert registry.questions == asked + 1


def test_version_that_somebody_deleted_comes_back(
    registry: FakeRegistry, follower: SourceFollower, folder: Path
) -> None:
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    follower.look()
    (folder / "1").rename(folder.parent.parent / "elsewhere")
    (folder / ".source.json").unlink()
    follower.look()
    assert (folder / "1/model.onnx").is_file()
    assert stands_for(folder) == 1


def test_fault_is_logged_once_and_again_after_it_was_over(
    registry: FakeRegistry,
    follower: SourceFollower,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    for fault in (None, "down", "down", None, "down"):
        registry.fault = problem_with("registry", fault, "start it") if fault else None
        follower.look()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        "the source of model 'fraud' cannot be followed, what is served goes on:"
        " registry: down (start it)"
    ] * 2
    assert stands_for(folder) == 1


def test_version_that_cannot_be_pulled_is_tried_ever_more_rarely(
    registry: FakeRegistry,
    follower: SourceFollower,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry.add("fraud", 1, {"MLmodel": b"flavors: {keras: {}}"})
    registry.aliases["fraud", "champion"] = 1
    tried = []
    for _ in range(12):
        follower.look()
        tried.append(registry.downloads)
    assert tried == [1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    assert caplog.text.count("cannot be followed") == 1
    registry.add_graph("fraud", 2)
    registry.aliases["fraud", "champion"] = 2
    follower.look()
    assert stands_for(folder) == 2


def test_model_whose_source_is_gone_stops_no_other(
    registry: FakeRegistry, follower: SourceFollower, folder: Path
) -> None:
    other = folder.parent / "z"
    other.mkdir()
    (other / "model.yaml").write_text("source: models:/other/4")
    registry.add_graph("other", 4)
    follower.look()
    assert (stands_for(folder), stands_for(other)) == (0, 4)


def test_changed_settings_are_followed(
    registry: FakeRegistry, follower: SourceFollower, folder: Path
) -> None:
    for number in (1, 2):
        registry.add_graph("fraud", number)
    registry.aliases["fraud", "champion"] = 1
    follower.look()
    (folder / "model.yaml").write_text("source: models:/fraud/2")
    follower.look()
    assert stands_for(folder) == 2


def test_repository_without_sources_asks_nobody(folder: Path) -> None:
    (folder / "model.yaml").write_text("owner: somebody")

    def connect() -> FakeRegistry:
        raise AssertionError("nobody was to be asked")

    SourceFollower(folder.parent, connect).look()


def test_client_that_is_not_installed_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def connect() -> FakeRegistry:
        raise problem_with("MLflow", "its client is not installed", "install it")

    follower = SourceFollower(folder.parent, connect)
    follower.look()
    follower.look()
    assert caplog.text.count("its client is not installed") == 1


def test_thread_looks_until_it_is_over(
    registry: FakeRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = threading.Semaphore(0)
    follower = SourceFollower(folder.parent, lambda: registry)
    monkeypatch.setattr(follower, "look", looks.release)
    over = follower.start(0.001)
    for _ in range(3):
        assert looks.acquire(timeout=30)
    over.set()
    (thread,) = [t for t in threading.enumerate() if t.name == "penstock-registry"] or [None]
    if thread is not None:
        thread.join(30)
        assert not thread.is_alive()
