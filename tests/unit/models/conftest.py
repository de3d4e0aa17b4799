"""What the tests of the models share: the model folders, and one small trained pipeline."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # where `models` is

from models.fraud import generate, train


@pytest.fixture(scope="session")
def models_folder() -> Path:
    return Path(__file__).resolve().parents[3] / "models"


@dataclass(frozen=True)
class SmallFraud:
    """A fraud model trained on few rows, and rows that it has not seen."""

    pipeline: Any
    threshold: float
    model: bytes
    unseen: Any


@pytest.fixture(scope="session")
def small_fraud() -> SmallFraud:
    table = generate.generate(6000, seed=3)
    parts = train.split(table)
    pipeline = train.train(parts.train)
    return SmallFraud(pipeline, 0.25, train.to_onnx(pipeline, 0.25), parts.test)
