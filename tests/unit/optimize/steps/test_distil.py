from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from pydantic import ValidationError

from optimize.errors import OptimizeError
from optimize.steps.base import Context
from optimize.steps.distil import Distil


def test_distil_says_which_students_there_are() -> None:
    with pytest.raises(ValidationError, match="is one of mlp, cnn, layers, or file"):
        Distil(student="transformer")


def test_distil_is_unavailable_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "penstock[torch]" in Distil().unavailable()


def test_distil_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(OptimizeError, match=r"set optimize\.data\.training"):
        Distil().run(tmp_path / "a", tmp_path / "b", Context({}))


def test_distil_learns_layers_more_slowly() -> None:
    assert Distil(student="layers").usual_rate < Distil().usual_rate
