from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optimize.session import ServedModel
from optimize.steps import STEPS
from optimize.steps.base import Context
from tests.support import onnx_models

ROWS = np.random.default_rng(2).normal(0, 1, (64, 30)).astype(np.float32)
OF_ANY_NETWORK = ["cast", "clean", "compile", "quantize-dynamic", "quantize-static"]


def answers(path: Path) -> np.ndarray:
    with ServedModel(path) as model:
        return model.answer({"x": ROWS})["probability"]


@pytest.mark.parametrize("kind", OF_ANY_NETWORK)
def test_step_makes_a_graph_that_answers_nearly_as_its_source(tmp_path: Path, kind: str) -> None:
    step = STEPS[kind]()
    source, target = onnx_models.mlp(tmp_path / "source.onnx"), tmp_path / "model.onnx"
    step.run(source, target, Context({"x": ROWS}))
    np.testing.assert_allclose(answers(target), answers(source), atol=0.1 if step.lossy else 1e-6)


def test_steps_say_what_they_are_for_people() -> None:
    step = STEPS["quantize-dynamic"].model_validate({"keep": ["first", "last"]})
    assert step.label() == "quantize-dynamic(keep=first+last)"
    assert STEPS["clean"]().label() == "clean"
