from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.registry.client import problem_with
from serve.registry.pull import pull, source_of_model, sources_in
from serve.repository.source import SourceState, read_source_state
from tests.unit.serve.registry.conftest import FakeRegistry


def stands_for(folder: Path) -> int:
    state = read_source_state(folder)
    assert state is not None
    return state.number


def test_version_has_the_number_of_the_registry(registry: FakeRegistry, folder: Path) -> None:
    registry.add_graph("fraud", 5)
    registry.aliases["fraud", "champion"] = 5
    pulled = pull(folder, registry)
    assert (pulled.version, pulled.new) == (folder / "5", True)
    assert read_source_state(folder) == SourceState(source="models:/fraud@champion", number=5)
    manifest = json.loads((folder / "5/manifest.json").read_text())
    assert (manifest["name"], manifest["version"]) == ("fraud", 5)
    origin = manifest["lineage"]["registry"]
    assert (origin["registry"], origin["model"], origin["version"]) == (registry.where, "fraud", 5)
    assert (origin["run_id"], origin["flavour"]) == ("run", "onnx")
    assert {path.name for path in folder.iterdir()} == {
        *("model.yaml", "5", ".source.json", ".pull.lock")
    }


def test_version_that_is_there_is_not_pulled_again(registry: FakeRegistry, folder: Path) -> None:
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    pull(folder, registry)
    assert not pull(folder, registry).new
    assert registry.downloads == 1


def test_number_that_is_taken_by_another_gives_way(registry: FakeRegistry, folder: Path) -> None:
    (folder / "1").mkdir()
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    assert pull(folder, registry).version == folder / "2"
    assert not pull(folder, registry).new
    assert stands_for(folder) == 2


def test_alias_that_moves_back_changes_what_counts_alone(
    registry: FakeRegistry, folder: Path
) -> None:
    for number in (1, 2):
        registry.add_graph("fraud", number)
        registry.aliases["fraud", "champion"] = number
        pull(folder, registry)
    registry.aliases["fraud", "champion"] = 1
    pulled = pull(folder, registry)
    assert (pulled.version, pulled.new) == (folder / "1", False)
    assert stands_for(folder) == 1
    assert (folder / "2").is_dir()


def test_model_that_was_registered_anew_is_another_version(
    registry: FakeRegistry, folder: Path
) -> None:
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    pull(folder, registry)
    registry.add_graph("fraud", 1, factor=2.0)
    assert pull(folder, registry).version == folder / "2"


def test_download_that_fails_leaves_nothing(registry: FakeRegistry, folder: Path) -> None:
    registry.add_graph("fraud", 1)
    registry.add("fraud", 2, {"MLmodel": b"flavors: {onnx: {data: gone.onnx}}"})
    registry.aliases["fraud", "champion"] = 1
    pull(folder, registry)
    registry.aliases["fraud", "champion"] = 2
    with pytest.raises(RepositoryError, match=r"it has no 'gone\.onnx' \(register it again\)"):
        pull(folder, registry)
    assert stands_for(folder) == 1
    assert not [path for path in folder.iterdir() if path.name.startswith(".pull-")]


def test_what_a_killed_pull_left_is_swept_away(registry: FakeRegistry, folder: Path) -> None:
    (folder / ".pull-dead/version").mkdir(parents=True)
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    pull(folder, registry)
    assert not (folder / ".pull-dead").exists()


def test_two_pulls_of_one_model_do_not_overlap(registry: FakeRegistry, folder: Path) -> None:
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1
    with open(folder / ".pull.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RepositoryError, match="another process is pulling this model"):
            pull(folder, registry)


def test_registry_that_is_down_is_told(registry: FakeRegistry, folder: Path) -> None:
    registry.fault = problem_with("registry", "is down", "start it")
    with pytest.raises(RepositoryError, match="is down"):
        pull(folder, registry)
    assert not list(folder.glob("[0-9]*"))


def test_folder_that_cannot_be_written_is_named(
    registry: FakeRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add_graph("fraud", 1)
    registry.aliases["fraud", "champion"] = 1

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serve.registry.pull.tempfile.mkdtemp", refuse)
    with pytest.raises(RepositoryError, match=r"no space left on device \(make room on the disk"):
        pull(folder, registry)


def test_model_without_source_says_what_to_add(folder: Path) -> None:
    (folder / "model.yaml").write_text("owner: somebody")
    with pytest.raises(RepositoryError, match="source: models:/fraud@champion"):
        source_of_model(folder)


def test_models_with_a_source_are_found_beside_broken_ones(folder: Path) -> None:
    for name, text in (("plain", "owner: x"), ("broken", "{"), ("other", "source: models:/a/1")):
        (folder.parent / name).mkdir()
        (folder.parent / name / "model.yaml").write_text(text)
    assert sources_in(folder.parent) == [folder, folder.parent / "other"]
