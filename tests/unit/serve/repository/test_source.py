from __future__ import annotations

from pathlib import Path

import pytest

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.identity import identity_of
from serve.repository.prints import model_print
from serve.repository.scan import look_at, scan_model
from serve.repository.source import (
    SOURCE_STATE,
    SourceState,
    read_source_state,
    with_source,
    write_source_state,
)
from tests.unit.serve.repository.test_scan import AddModel

SOURCE = "models:/fraud@champion"
CONFIG = ModelConfig(source=SOURCE)


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_source_state(tmp_path) is None
    state = SourceState(source=SOURCE, number=3)
    write_source_state(tmp_path, state)
    assert read_source_state(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == [SOURCE_STATE]


def test_version_pulled_last_is_stable_and_has_the_alias(tmp_path: Path) -> None:
    write_source_state(tmp_path, SourceState(source=SOURCE, number=3))
    assert with_source(CONFIG, tmp_path).labels == {"stable": 3, "champion": 3}


def test_labels_of_the_settings_win(tmp_path: Path) -> None:
    write_source_state(tmp_path, SourceState(source=SOURCE, number=3))
    config = CONFIG.model_copy(update={"labels": {"stable": 2}})
    assert with_source(config, tmp_path).labels == {"stable": 2, "champion": 3}


def test_state_of_another_source_counts_for_nothing(tmp_path: Path) -> None:
    write_source_state(tmp_path, SourceState(source="models:/other@champion", number=3))
    assert with_source(CONFIG, tmp_path) == CONFIG


def test_number_in_the_registry_makes_no_label(tmp_path: Path) -> None:
    write_source_state(tmp_path, SourceState(source="models:/fraud/3", number=1))
    assert with_source(ModelConfig(source="models:/fraud/3"), tmp_path).labels == {"stable": 1}


@pytest.mark.parametrize("text", ["", "[]", '{"source": 1}', '{"source": "a", "number": 0}'])
def test_state_that_says_nothing_names_file_and_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / SOURCE_STATE).write_text(text)
    with pytest.raises(RepositoryError, match=r"\.source\.json: .*delete it, and pull again"):
        with_source(CONFIG, tmp_path)


def test_alias_that_moves_back_is_seen_and_reloads_nothing(add_model: AddModel) -> None:
    files = {"model.yaml": f"source: {SOURCE}", "3/model.onnx": "a", "4/model.onnx": "b"}
    folder = add_model("fraud", files)
    write_source_state(folder, SourceState(source=SOURCE, number=4))
    seen, before = model_print(folder), scan_model(folder)
    write_source_state(folder, SourceState(source=SOURCE, number=3))
    after = scan_model(folder)
    assert model_print(folder) != seen
    assert [version.number for version in after.versions] == [3, 4]
    assert after.config.labels["stable"] == 3
    assert identity_of(after, after.versions[1]) == identity_of(before, before.versions[0])


def test_model_that_was_never_pulled_is_still_to_be_made(add_model: AddModel) -> None:
    found = look_at(add_model("fraud", {"model.yaml": f"source: {SOURCE}"}))
    assert getattr(found, "unbuilt", False)
    assert "penstock models pull" in str(getattr(found, "error", ""))
