from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from optimize.errors import OptimizeError
from optimize.session import ServedModel
from optimize.steps import Fuse
from optimize.steps.base import Context, op_counts
from tests.support import onnx_models

node = helper.make_node
NOTHING = Context({})


def gelu(path: Path) -> Path:
    """GELU of a linear layer, in the small operators that exporters write it in."""
    rng = np.random.default_rng(0)
    return onnx_models.save(
        path,
        [
            node("MatMul", ["x", "w"], ["m"]),
            node("Add", ["m", "b"], ["z"]),
            node("Div", ["z", "root"], ["d"]),
            node("Erf", ["d"], ["e"]),
            node("Add", ["e", "one"], ["f"]),
            node("Mul", ["z", "f"], ["g"]),
            node("Mul", ["g", "half"], ["y"]),
        ],
        [onnx_models.value("x", "FP32", ["batch", 3, 8])],
        [onnx_models.value("y", "FP32", ["batch", 3, 8])],
        {
            "w": rng.normal(0, 1, (8, 8)).astype(np.float32),
            "b": rng.normal(0, 1, 8).astype(np.float32),
            "root": np.array(np.sqrt(2), np.float32),
            "one": np.array(1, np.float32),
            "half": np.array(0.5, np.float32),
        },
        opset=18,
    )


def test_fuse_puts_one_operator_in_place_of_a_pattern(tmp_path: Path) -> None:
    source, target = gelu(tmp_path / "source.onnx"), tmp_path / "model.onnx"
    Fuse(must_have=("BiasGelu",)).run(source, target, NOTHING)
    assert "Erf" not in op_counts(target)
    rows = {"x": np.random.default_rng(1).normal(0, 1, (5, 3, 8)).astype(np.float32)}
    with ServedModel(source) as before, ServedModel(target) as after:
        np.testing.assert_allclose(after.answer(rows)["y"], before.answer(rows)["y"], atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_fused": 2}, "fused 1 BiasGelu, of which at least 2"),
        ({"must_have": ["Attention"]}, "has no Attention"),
        ({"heads": 4}, "one of heads and hidden_size"),
    ],
)
def test_fuse_is_never_silent_about_what_it_did_not_find(
    tmp_path: Path, parameters: dict[str, object], message: str
) -> None:
    source = gelu(tmp_path / "source.onnx")
    with pytest.raises(OptimizeError, match=message):
        Fuse.model_validate(parameters).run(source, tmp_path / "model.onnx", NOTHING)


def test_fuse_fails_on_a_graph_that_is_no_transformer(tmp_path: Path) -> None:
    source = onnx_models.mlp(tmp_path / "source.onnx")
    with pytest.raises(OptimizeError, match="fused nothing"):
        Fuse().run(source, tmp_path / "model.onnx", NOTHING)
    assert "no MatMul" in Fuse().not_applicable({"Gemm": 3})
