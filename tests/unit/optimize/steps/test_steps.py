from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optimize.errors import OptimizeError
from optimize.session import ServedModel
from optimize.steps import STEPS, Step
from optimize.steps.base import Context, op_counts
from tests.support import onnx_models

ROWS = np.random.default_rng(2).normal(0, 1, (64, 30)).astype(np.float32)


def made(tmp_path: Path, step: Step) -> Path:
    source = onnx_models.mlp(tmp_path / "source" / "model.onnx")
    target = tmp_path / "model.onnx"
    step.run(source, target, Context({"x": ROWS}))
    return target


def answers(path: Path) -> np.ndarray:
    with ServedModel(path) as model:
        return model.answer({"x": ROWS})["probability"]


@pytest.mark.parametrize("kind", sorted(STEPS))
def test_step_makes_a_graph_that_answers_nearly_as_its_source(tmp_path: Path, kind: str) -> None:
    step = STEPS[kind]()
    got = answers(made(tmp_path, step))
    wanted = answers(tmp_path / "source" / "model.onnx")
    np.testing.assert_allclose(got, wanted, atol=0.1 if step.lossy else 1e-6)


@pytest.mark.parametrize("kind", ["quantize-dynamic", "quantize-static"])
def test_quantised_weights_are_smaller(tmp_path: Path, kind: str) -> None:
    target = made(tmp_path, STEPS[kind]())
    assert target.stat().st_size < (tmp_path / "source" / "model.onnx").stat().st_size / 1.5


def test_quantize_keeps_the_layers_it_is_told_to(tmp_path: Path) -> None:
    kept = STEPS["quantize-dynamic"].model_validate({"keep": ["last"]})
    all_of_them = op_counts(made(tmp_path, STEPS["quantize-dynamic"]()))
    assert op_counts(made(tmp_path, kept))["MatMulInteger"] < all_of_them["MatMulInteger"]


def test_quantize_refuses_a_pattern_that_fits_no_layer(tmp_path: Path) -> None:
    step = STEPS["quantize-dynamic"].model_validate({"keep": ["*ffn*"]})
    with pytest.raises(OptimizeError, match="no layer is named like"):
        made(tmp_path, step)


def test_quantize_has_nothing_to_do_in_trees() -> None:
    reason = STEPS["quantize-dynamic"]().not_applicable({"TreeEnsembleClassifier": 1})
    assert "no MatMul" in reason
