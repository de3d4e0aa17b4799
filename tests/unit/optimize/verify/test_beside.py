from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optimize.session import ServedModel
from optimize.steps import QuantizeDynamic
from optimize.steps.base import Context
from optimize.verify.beside import spoils_neighbours
from tests.support import onnx_models

ROWS = {"x": np.random.default_rng(5).normal(0, 1, (16, 30)).astype(np.float32)}

ALLOWED = {"probability": 0.05}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return onnx_models.mlp(tmp_path / "model.onnx")


@pytest.mark.parametrize("value", [np.inf, -3e38])
def test_int8_answers_nonsense_beside_a_row_that_is_extreme(
    network: Path, tmp_path: Path, value: float
) -> None:
    target = tmp_path / "int8" / "model.onnx"
    target.parent.mkdir()
    QuantizeDynamic().run(network, target, Context(ROWS))
    edges = {"x": ROWS["x"][:2].copy()}
    edges["x"][1, 3] = value
    with ServedModel(target) as model:
        found = spoils_neighbours(model, ROWS, edges, ["a plain row", "x[3] is extreme"], ALLOWED)
    assert found.startswith("x[3] is extreme: probability of the rows beside it")


def test_rows_that_are_calculated_one_by_one_are_not_spoiled(network: Path) -> None:
    edges = {"x": np.array([[np.nan] * 30, [3e38] * 30], np.float32)}
    with ServedModel(network) as model:
        assert spoils_neighbours(model, ROWS, edges, ["null", "null"], ALLOWED) == ""
