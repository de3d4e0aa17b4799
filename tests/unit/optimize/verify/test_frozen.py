from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from optimize.session import ServedModel
from optimize.steps import Compile, QuantizeDynamic, QuantizeStatic
from optimize.steps.base import Context, op_counts
from optimize.verify.frozen import freeze_scales, takes_scales_from_batch
from optimize.verify.invariance import batch_invariance
from tests.support import onnx_models

ROWS = {"x": np.random.default_rng(4).normal(0, 1, (64, 30)).astype(np.float32)}


def quantised(tmp_path: Path, compiled: bool) -> Path:
    source = onnx_models.mlp(tmp_path / "source.onnx")
    target = tmp_path / "quantised" / "model.onnx"
    target.parent.mkdir()
    QuantizeDynamic().run(source, target, Context(ROWS))
    if compiled:
        Compile().run(target, target, Context(ROWS))
        assert op_counts(target)["DynamicQuantizeMatMul"]
    return target


@pytest.mark.parametrize("compiled", [False, True])
def test_frozen_graph_answers_as_its_calibration_batch_and_depends_on_no_neighbour(
    tmp_path: Path, compiled: bool
) -> None:
    path = quantised(tmp_path, compiled)
    assert takes_scales_from_batch(path)
    frozen = freeze_scales(path, tmp_path, ROWS)
    assert frozen is not None
    assert not takes_scales_from_batch(frozen)
    with ServedModel(path) as before, ServedModel(frozen) as after:
        wanted, got = before.answer(ROWS)["probability"], after.answer(ROWS)["probability"]
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        assert batch_invariance(before, ROWS).largest["probability"] > 1e-3
        assert batch_invariance(after, ROWS).largest["probability"] < 1e-6


def test_static_scales_are_not_of_the_batch(tmp_path: Path) -> None:
    source, target = onnx_models.mlp(tmp_path / "source.onnx"), tmp_path / "model.onnx"
    QuantizeStatic().run(source, target, Context(ROWS))
    assert not takes_scales_from_batch(target)


def test_freeze_scales_gives_up_on_an_operator_that_quantises_inside(tmp_path: Path) -> None:
    path = onnx_models.save(
        tmp_path / "lstm" / "model.onnx",
        [helper.make_node("DynamicQuantizeLSTM", ["x"], ["y"], domain="com.microsoft")],
        [onnx_models.value("x", "FP32", ["batch", 4])],
        [onnx_models.value("y", "FP32", ["batch", 4])],
    )
    assert freeze_scales(path, tmp_path, ROWS) is None
