from __future__ import annotations

from pathlib import Path

import pytest

import serve.registry.convert
from serve.errors import RepositoryError
from serve.registry.convert import convert


@pytest.fixture
def version(tmp_path: Path) -> Path:
    (tmp_path / "version").mkdir()
    return tmp_path / "version"


def test_what_the_export_says_is_told(version: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(
        RepositoryError,
        match=r"^models:/m/1: it cannot be converted: there is no export of keras"
        r" \(register it as ONNX\)$",
    ):
        convert(tmp_path, version, "keras", "models:/m/1")


def test_process_that_ends_without_a_word_is_told(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.registry.convert, "WORKER", "no.such.module")
    with pytest.raises(RepositoryError, match=r"its process ended with 1: .*No module named"):
        convert(tmp_path, version, "sklearn", "models:/m/1")


def test_export_that_does_not_end_is_given_up(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.registry.convert, "TIMEOUT_S", 0.01)
    with pytest.raises(RepositoryError, match="it was not converted after"):
        convert(tmp_path, version, "sklearn", "models:/m/1")
