from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from optimize.errors import OptimizeError
from optimize.sensitivity import SENSITIVITY
from optimize.session import ServedModel
from optimize.steps import STEPS, Fuse
from optimize.steps.base import Context, op_counts
from tests.support import onnx_models
from tests.unit.optimize.steps.test_fuse import gelu

ROWS = np.random.default_rng(2).normal(0, 1, (64, 30)).astype(np.float32)
BOTH = ["quantize-dynamic", "quantize-static"]


def made(tmp_path: Path, kind: str, **parameters: Any) -> Path:
    source = onnx_models.mlp(tmp_path / "source" / "model.onnx")
    target = tmp_path / "model.onnx"
    STEPS[kind].model_validate(parameters).run(source, target, Context({"x": ROWS}))
    return target


def answers(path: Path) -> np.ndarray:
    with ServedModel(path) as model:
        return model.answer({"x": ROWS})["probability"]


@pytest.mark.parametrize("kind", BOTH)
def test_quantised_weights_are_smaller(tmp_path: Path, kind: str) -> None:
    target = made(tmp_path, kind)
    assert target.stat().st_size < (tmp_path / "source" / "model.onnx").stat().st_size / 1.5


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_static_ranges_of_any_calibrator_answer_nearly_as_the_source(
    tmp_path: Path, method: str, per_channel: bool
) -> None:
    got = answers(made(tmp_path, "quantize-static", method=method, per_channel=per_channel))
    np.testing.assert_allclose(got, answers(tmp_path / "source" / "model.onnx"), atol=0.1)
    scales = [
        tensor.dims
        for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer
        if tensor.name.startswith("w0") and tensor.name.endswith("_scale")
    ]
    assert [list(dims) for dims in scales] == [[64] if per_channel else []]


@pytest.mark.parametrize("kind", BOTH)
def test_quantize_auto_keeps_the_layer_that_was_measured_to_suffer_most(
    tmp_path: Path, kind: str
) -> None:
    kept = op_counts(made(tmp_path, kind, keep=["auto"], share=0.4))
    found = json.loads((tmp_path / SENSITIVITY).read_text())
    assert len(found) == 3
    assert [each["kept"] for each in found].count(True) == 1
    assert max(found, key=lambda each: each["error"])["kept"]
    everything = op_counts(made(tmp_path, kind))
    operator = "MatMulInteger" if kind == "quantize-dynamic" else "DequantizeLinear"
    assert kept[operator] < everything[operator]


def test_quantize_keeps_the_layers_it_is_told_to(tmp_path: Path) -> None:
    kept = op_counts(made(tmp_path, "quantize-dynamic", keep=["last"]))
    all_of_them = op_counts(made(tmp_path, "quantize-dynamic"))
    assert kept["MatMulInteger"] < all_of_them["MatMulInteger"]


def test_quantize_refuses_a_pattern_that_fits_no_layer(tmp_path: Path) -> None:
    with pytest.raises(OptimizeError, match="no layer is named like"):
        made(tmp_path, "quantize-dynamic", keep=["*ffn*"])


def test_quantize_dynamic_takes_a_fused_graph_whose_tensors_have_no_known_type(
    tmp_path: Path,
) -> None:
    source = gelu(tmp_path / "source.onnx")
    fused, target = tmp_path / "fused.onnx", tmp_path / "model.onnx"
    Fuse().run(source, fused, Context({}))
    STEPS["quantize-dynamic"]().run(fused, target, Context({}))
    assert op_counts(target)["MatMulInteger"] == 1


@pytest.mark.parametrize("kind", BOTH)
def test_quantize_has_nothing_to_do_in_trees(kind: str) -> None:
    assert "no MatMul" in STEPS[kind]().not_applicable({"TreeEnsembleClassifier": 1})


def test_attention_of_the_standard_stays_as_it_is_and_its_projections_do_not(
    tmp_path: Path,
) -> None:
    source = onnx_models.attention(tmp_path / "source" / "model.onnx")
    target = tmp_path / "model.onnx"
    rows = np.random.default_rng(3).normal(0, 1, (8, 5, 16)).astype(np.float32)
    STEPS["quantize-dynamic"]().run(source, target, Context({"x": rows}))
    ops = op_counts(target)
    assert ops["Attention"] == 1 and ops["MatMulInteger"] == 3
    with ServedModel(source) as exact, ServedModel(target) as model:
        wanted, got = exact.answer({"x": rows})["y"], model.answer({"x": rows})["y"]
    np.testing.assert_allclose(got, wanted, atol=0.1)
