"""Model folders of plain files: a scan never opens an artefact, so any bytes will do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

AddModel = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def add_model(root: Path) -> AddModel:
    """``add_model("fraud", {"1/model.onnx": ""})`` writes a folder of files and returns it."""

    def add(name: str, files: dict[str, str]) -> Path:
        folder = root / name
        folder.mkdir(exist_ok=True)
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return folder

    return add
