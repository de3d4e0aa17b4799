"""What is read again as rules change, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.executors.ray.needs import Needs
from serve.repository.entry import Repository
from serve.repository.scan import read_settings
from serve.traffic.rules import basis_of
from serve.traffic.state import ModelState, Rollout, TrafficState
from tests.support import onnx_models
from tests.support.triton_repository import write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for version in (1, 2, 3):
        onnx_models.identity(tmp_path / f"one/{version}/model.onnx")
    onnx_models.identity(tmp_path / "two/1/model.onnx")
    return tmp_path


def rules(root: Path, **fields: object) -> TrafficState:
    """Of the model ``one``, as its ``model.yaml`` is now."""
    settings, _, _ = read_settings(root / "one")
    state = ModelState(basis=basis_of(settings.config), **fields)  # type: ignore[arg-type]
    return TrafficState(models={"one": state})


def rollout(version: int, stable: int) -> Rollout:
    return Rollout(version=version, stable=stable, steps=(100.0,), hold_s=1.0)


def served(repository: Repository) -> dict[str, list[int]]:
    return {
        name: [version.number for version in entry.versions]
        for name, entry in repository.models.items()
    }


def test_versions_of_the_rules_are_read_besides(root: Path) -> None:
    needs = Needs()
    needs.follow(rules(root, labels={"stable": 2}))
    assert served(needs.scan(root)) == {"one": [2, 3], "two": [1]}


def test_model_is_read_again_when_its_rules_need_other_versions(root: Path) -> None:
    needs = Needs()
    found = needs.scan(root)
    assert served(found) == {"one": [3], "two": [1]}
    assert needs.changed(found) == (found, frozenset())
    needs.follow(rules(root, labels={"stable": 2}, rollout=rollout(3, 2)))
    found, changed = needs.changed(found)
    assert changed == {"one"}
    assert served(found)["one"] == [2, 3]
    assert needs.changed(found) == (found, frozenset())
    needs.follow(TrafficState())
    found, changed = needs.changed(found)
    assert changed == {"one"}
    assert served(found)["one"] == [3]


def test_step_of_a_rollout_reads_nothing(root: Path) -> None:
    needs = Needs()
    needs.follow(rules(root, labels={"stable": 2, "canary": 3}))
    found = needs.scan(root)
    write(root, "one/model.yaml", "owner: ann\n")
    needs.follow(rules(root, labels={"stable": 2, "canary": 3}, rollout=rollout(3, 2)))
    again, changed = needs.changed(found)
    assert not changed
    assert again.models["one"].config.owner == ""


def test_rules_for_settings_that_were_not_read_yet_have_them_read(root: Path) -> None:
    needs = Needs()
    found = needs.scan(root)
    write(root, "one/model.yaml", "labels: {stable: 1}\n")
    needs.follow(rules(root, rollout=rollout(3, 1)))
    found, changed = needs.changed(found)
    assert changed == {"one"}
    assert served(found)["one"] == [1, 3]
    assert found.models["one"].config.labels == {"stable": 1}
    assert needs.changed(found) == (found, frozenset())


def test_rules_for_settings_of_before_are_passed_over_and_read_nothing_twice(root: Path) -> None:
    needs = Needs()
    state = rules(root, labels={"stable": 2})
    write(root, "one/model.yaml", "labels: {stable: 1}\n")
    needs.follow(state)
    found = needs.scan(root)
    assert served(found)["one"] == [1, 3]
    assert needs.changed(found) == (found, frozenset())


def test_model_that_cannot_be_read_any_more_is_broken(root: Path) -> None:
    needs = Needs()
    found = needs.scan(root)
    write(root, "one/model.yaml", "labels: [\n")
    needs.follow(TrafficState(models={"one": ModelState(basis="other")}))
    found, changed = needs.changed(found)
    assert changed == {"one"}
    assert set(found.models) == {"two"}
    assert "one/model.yaml" in str(found.broken["one"].error)
