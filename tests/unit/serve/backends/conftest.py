"""A version folder to load from, made of an artefact and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serve.backends.base import BackendSource
from serve.config import ModelConfig

MakeSource = Callable[..., BackendSource]


@pytest.fixture
def make_source(tmp_path: Path) -> MakeSource:
    """``make_source(artefact_name, **model_yaml)``: the folders exist, the artefact does not."""

    def make(artefact: str = "model.onnx", **settings: Any) -> BackendSource:
        folder = tmp_path / "fraud"
        (folder / "1").mkdir(parents=True, exist_ok=True)
        config = ModelConfig.model_validate(settings)
        return BackendSource("fraud", 1, folder, folder / "1" / artefact, config)

    return make
