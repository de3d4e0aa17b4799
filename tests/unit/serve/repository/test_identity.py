"""A version is loaded again when it is another, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serve.config import ModelConfig
from serve.repository.identity import Identity, identity_of, with_model_settings
from serve.repository.scan import scan_model

AddModel = Callable[..., Path]


def identity(folder: Path, number: int = 1) -> Identity:
    entry = scan_model(folder)
    (version,) = [version for version in entry.versions if version.number == number]
    return identity_of(entry, version)


@pytest.fixture
def folder(add_model: AddModel) -> Path:
    files = {"1/model.onnx": "", "2/model.onnx": "", "model.yaml": "versions: {policy: all}"}
    return add_model("m", files)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("1/model.onnx", "other"),
        ("1/weights.bin", "x"),
        ("tokenizer.json", "{}"),
        ("model.yaml", "versions: {policy: all}\nslo: {latency_ms: 5}"),
    ],
)
def test_version_is_another_with(folder: Path, path: str, text: str) -> None:
    before = identity(folder)
    (folder / path).write_text(text)
    assert identity(folder) != before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("2/model.onnx", "other"),
        ("3/model.onnx", "x"),
        ("README.md", "a card"),
        ("model.yaml", "versions: {policy: all}\nowner: team-b\n# a remark"),
        ("model.yaml", "versions: {policy: specific, numbers: [1]}"),
        ("model.yaml", "versions: {policy: all}\nlabels: {stable: 2}"),
    ],
)
def test_version_is_the_same_with(folder: Path, path: str, text: str) -> None:
    before = identity(folder)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text(text)
    assert identity(folder) == before


def test_version_that_stays_takes_the_settings_of_its_model() -> None:
    loaded = ModelConfig.model_validate({"backend": "python", "labels": {"stable": 1}})
    model = ModelConfig.model_validate({"owner": "b", "labels": {"stable": 2}})
    found = with_model_settings(loaded, model)
    assert (found.owner, found.labels, found.backend) == ("b", {"stable": 2}, "python")
