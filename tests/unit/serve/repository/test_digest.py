"""Which files a version's answers follow from."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config import ModelConfig, Tokenizer
from serve.repository.digest import digest_of
from tests.support.triton_repository import write

PLAIN = ModelConfig()
TEXT = ModelConfig(tokenizer=Tokenizer())


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    write(tmp_path, "m/3/model.py", "a")
    write(tmp_path, "m/3/helper/words.txt", "b")
    write(tmp_path, "m/tokenizer.json", "c")
    return tmp_path / "m/3/model.py"


@pytest.mark.parametrize(
    ("name", "config", "changes"),
    [
        ("3/model.py", PLAIN, True),
        ("3/helper/words.txt", PLAIN, True),
        ("3/new.txt", PLAIN, True),
        ("tokenizer.json", PLAIN, False),
        ("tokenizer.json", TEXT, True),
        ("README.md", PLAIN, False),
        ("3/__pycache__/model.pyc", PLAIN, False),
        ("3/.DS_Store", PLAIN, False),
    ],
)
def test_digest_changes_with_what_answers_follow_from(
    name: str, config: ModelConfig, changes: bool, artefact: Path
) -> None:
    before = digest_of(artefact, config)
    write(artefact.parent.parent, name, "other")
    assert (digest_of(artefact, config) != before) is changes


def test_digest_does_not_follow_from_where_the_repository_is(
    artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "m").rename(tmp_path / "n")
    moved = tmp_path / "n/3/model.py"
    before = digest_of(moved, TEXT)
    (tmp_path / "n").rename(artefact.parent.parent)
    assert digest_of(artefact, TEXT) == before


def test_digest_of_a_version_with_a_manifest_is_that_of_the_manifest(artefact: Path) -> None:
    write(artefact.parent, "manifest.json", "{}")
    before = digest_of(artefact, PLAIN)
    write(artefact.parent, "notes.txt", "not verified, and not looked at")
    assert digest_of(artefact, PLAIN) == before
    write(artefact.parent, "manifest.json", "{ }")
    assert digest_of(artefact, PLAIN) != before
