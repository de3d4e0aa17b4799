"""What a folder looks like from outside: every change of a file shows, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.repository.prints import ModelPrint, model_print

AddModel = Callable[..., Path]


@pytest.fixture
def folder(add_model: AddModel) -> Path:
    return add_model("m", {"1/model.onnx": "a", "2/model.onnx": "b", "model.yaml": ""})


def seen(folder: Path) -> ModelPrint:
    found = model_print(folder)
    assert found is not None
    return found


def test_print_is_the_same_while_nothing_changes(folder: Path) -> None:
    assert seen(folder) == seen(folder)
    assert sorted(seen(folder).versions) == [1, 2]


@pytest.mark.parametrize(
    "path", ["1/model.onnx", "1/parts/weights", "model.yaml", "labels.txt", "3/model.onnx"]
)
def test_print_changes_with_what_is_written(folder: Path, path: str) -> None:
    before = seen(folder)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("longer than before")
    assert seen(folder) != before


def test_print_changes_when_another_file_is_renamed_into_place(folder: Path) -> None:
    before = seen(folder)
    target = folder / "1" / "model.onnx"
    (folder / "1" / ".new").write_text("c")
    os.utime(folder / "1" / ".new", ns=(target.stat().st_atime_ns, target.stat().st_mtime_ns))
    (folder / "1" / ".new").rename(target)
    assert seen(folder) != before


@pytest.mark.parametrize("path", ["README.md", ".git/HEAD", "1/__pycache__/m.pyc", "1/.part"])
def test_print_ignores_what_is_not_served(folder: Path, path: str) -> None:
    before = seen(folder)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("x")
    assert seen(folder) == before


def test_print_without_hidden_versions(folder: Path) -> None:
    assert list(seen(folder).without({2}).versions) == [1]
    assert seen(folder).without({2}).beside == seen(folder).beside


def test_folder_that_is_not_there_has_no_print(folder: Path) -> None:
    assert model_print(folder / "nothing") is None


def test_link_to_nowhere_is_seen(folder: Path) -> None:
    before = seen(folder)
    (folder / "1" / "weights").symlink_to("nowhere")
    assert seen(folder) != before
