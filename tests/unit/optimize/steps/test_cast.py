from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from optimize.errors import OptimizeError
from optimize.session import ServedModel
from optimize.steps import Cast
from optimize.steps.base import Context
from tests.support import onnx_models

ROWS = {"x": np.random.default_rng(2).normal(0, 1, (64, 30)).astype(np.float32)}


def cast(tmp_path: Path, **parameters: Any) -> tuple[Path, Path]:
    source, target = onnx_models.mlp(tmp_path / "source.onnx"), tmp_path / "model.onnx"
    Cast.model_validate(parameters).run(source, target, Context({}))
    return source, target


def answers(path: Path) -> np.ndarray:
    with ServedModel(path) as model:
        assert [spec.datatype for spec in model.signature.outputs] == ["FP32"]
        return model.answer(ROWS)["probability"]


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, 1e-3),
        ({"precision": "bf16"}, 1e-2),
        ({"compute": True}, 2e-3),
        ({"compute": True, "block": ["Sigmoid"]}, 2e-3),
    ],
)
def test_cast_halves_the_file_and_keeps_the_ends(
    tmp_path: Path, parameters: dict[str, Any], error: float
) -> None:
    source, target = cast(tmp_path, **parameters)
    assert target.stat().st_size < 0.65 * source.stat().st_size
    got, wanted = answers(target), answers(source)
    assert 0 < np.abs(got - wanted).max() < error


def test_cast_says_which_kernel_the_runtime_lacks(tmp_path: Path) -> None:
    with pytest.raises(OptimizeError, match=r"cannot compute this graph in bf16.*Gemm"):
        cast(tmp_path, precision="bf16", compute=True)


def test_cast_leaves_a_weight_that_fp16_cannot_hold(tmp_path: Path) -> None:
    source = onnx_models.mlp(tmp_path / "source.onnx")
    model = onnx.load(source)
    huge = np.full((64, 64), 1e6, np.float32)
    model.graph.initializer[2].CopyFrom(onnx.numpy_helper.from_array(huge, "w1"))
    onnx.save(model, source)
    target = tmp_path / "model.onnx"
    Cast().run(source, target, Context({}))
    kept = {tensor.name: tensor.data_type for tensor in onnx.load(target).graph.initializer}
    assert kept["w1"] == onnx.TensorProto.FLOAT
    assert kept["w0_fp16"] == onnx.TensorProto.FLOAT16
    with pytest.raises(OptimizeError, match="w1 has numbers beyond 65504"):
        Cast(compute=True).run(source, target, Context({}))
    Cast(compute=True, block=("Gemm",)).run(source, target, Context({}))


def test_cast_has_nothing_to_do_where_no_operator_holds_weights(tmp_path: Path) -> None:
    assert "no MatMul" in Cast().not_applicable({"TreeEnsembleClassifier": 1})
    with pytest.raises(OptimizeError, match="no weight of 64 or more"):
        cast(tmp_path, block=["Gemm"])
