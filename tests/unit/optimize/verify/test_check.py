"""Planted bad variants never pass, a good one always does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from optimize.session import ServedModel
from optimize.settings import Gates
from optimize.steps import Compile, QuantizeDynamic, QuantizeStatic, Step
from optimize.steps.base import Context
from optimize.verify.check import Question, verify

FEATURES, CLASSES, ROWS = 4, 2, 400
SEEDS = range(20)

node = helper.make_node


def variant(path: Path, seed: int, kind: str) -> Path:
    """A logistic model of a seed, right or with one thing planted in it."""
    rng = np.random.default_rng(seed)
    weights = {
        "w": rng.normal(0, 1, (FEATURES, CLASSES)).astype(np.float32),
        "b": rng.normal(0, 1, CLASSES).astype(np.float32),
        "scale": np.array(1.2, np.float32),
        "swap": np.array([1, 0], np.int64),
        "seven": np.array(7, np.int64),
        "zero": np.array(0, np.int64),
        "part": np.array(0.3, np.float32),
        "one": np.array([1], np.int64),
        "end": np.array([2**31 - 1], np.int64),
        "start": np.array([0], np.int64),
    }
    logits = node("Gemm", ["x", "w", "b"], ["logits"])
    soft = node("Softmax", ["z"], ["p"])
    planted: dict[str, list[Any]] = {
        "good": [node("Identity", ["logits"], ["z"]), soft],
        "wrong scale": [node("Mul", ["logits", "scale"], ["z"]), soft],
        "swapped labels": [node("Gather", ["logits", "swap"], ["z"], axis=1), soft],
        "unstable at batch 7": [
            node("Shape", ["x"], ["shape"]),
            node("Gather", ["shape", "zero"], ["rows"]),
            node("Equal", ["rows", "seven"], ["is_seven"]),
            node("Cast", ["is_seven"], ["add"], to=TensorProto.FLOAT),
            node("Mul", ["add", "logits"], ["more"]),
            node("Add", ["logits", "more"], ["z"]),
            soft,
        ],
        "leak between neighbours": [
            node("Slice", ["logits", "one", "end", "start"], ["rest"]),
            node("Slice", ["logits", "start", "one", "start"], ["first"]),
            node("Concat", ["rest", "first"], ["next"], axis=0),
            node("Sub", ["next", "logits"], ["other"]),
            node("Mul", ["other", "part"], ["some"]),
            node("Add", ["logits", "some"], ["z"]),
            soft,
        ],
    }
    graph = helper.make_graph(
        [logits, *planted[kind]],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def question(good: Path, seed: int) -> Question:
    rng = np.random.default_rng(1000 + seed)
    rows = {"x": rng.normal(0, 1, (ROWS, FEATURES)).astype(np.float32)}
    with ServedModel(good) as model:
        answers = model.answer(rows)
    target = (rng.random(ROWS) < answers["p"][:, 1]).astype(np.int64)
    return Question(
        rows, answers, target, {}, {}, [], [], "p", ["average_precision", "log_loss"], {}
    )


ROUNDED: dict[str, tuple[Step, ...]] = {
    "dynamic": (QuantizeDynamic(),),
    "dynamic, compiled": (QuantizeDynamic(), Compile()),
    "static": (QuantizeStatic(),),
}
FAULTS = ["wrong scale", "swapped labels", "unstable at batch 7", "leak between neighbours"]
WAYS = [("dynamic", seed) for seed in SEEDS]
WAYS += [(kind, seed) for kind in ("dynamic, compiled", "static") for seed in (0, 3, 9)]


def rounded(path: Path, rows: dict[str, Any], kind: str) -> Path:
    """The variant in int8; a planted fault stays in it."""
    for index, step in enumerate(ROUNDED[kind]):
        target = path.with_name(f"rounded_{index}_{path.name}")
        step.run(path, target, Context(rows))
        path = target
    return path


def gates_of(path: Path, asked: Question, unrounded: Path | None = None) -> dict[str, str]:
    # What int8 costs so small a model by its metric is not what is tested here.
    limits = Gates(bootstrap=100, max_metric_drop=0.02 if unrounded else 0.005)
    found = verify(path, unrounded is not None, asked, limits, unrounded)
    return {gate.name: gate.verdict for gate in found.gates}


@pytest.mark.parametrize("seed", SEEDS)
def test_verify_passes_a_good_variant(tmp_path: Path, seed: int) -> None:
    good = variant(tmp_path / "good.onnx", seed, "good")
    assert set(gates_of(good, question(good, seed)).values()) == {"pass"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", FAULTS)
def test_verify_never_passes_a_planted_fault(tmp_path: Path, seed: int, kind: str) -> None:
    good = variant(tmp_path / "good.onnx", seed, "good")
    bad = variant(tmp_path / "bad.onnx", seed, kind)
    assert "fail" in gates_of(bad, question(good, seed)).values()


@pytest.mark.parametrize(("kind", "seed"), WAYS)
def test_verify_passes_an_honest_int8_variant(tmp_path: Path, seed: int, kind: str) -> None:
    good = variant(tmp_path / "good.onnx", seed, "good")
    asked = question(good, seed)
    found = gates_of(rounded(good, dict(asked.inputs), kind), asked, good)
    assert set(found.values()) == {"pass"}
    assert ("batch scale" in found) == kind.startswith("dynamic")


@pytest.mark.parametrize(("kind", "seed"), WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_verify_never_passes_a_fault_planted_in_int8(
    tmp_path: Path, seed: int, kind: str, fault: str
) -> None:
    good = variant(tmp_path / "good.onnx", seed, "good")
    asked = question(good, seed)
    bad = rounded(variant(tmp_path / "bad.onnx", seed, fault), dict(asked.inputs), kind)
    found = gates_of(bad, asked, good)
    caught_by = {"wrong scale": "scale", "swapped labels": "scale"}
    assert found[caught_by.get(fault, "batch invariance")] == "fail"


def test_batch_atol_allows_for_scales_of_the_batch_and_for_no_leak(tmp_path: Path) -> None:
    good = variant(tmp_path / "good.onnx", 0, "good")
    asked = question(good, 0)
    limits = Gates(bootstrap=100, max_metric_drop=0.5, max_scale_error=9, batch_atol=0.9)
    verdicts = {}
    for kind in ("good", "leak between neighbours"):
        path = rounded(variant(tmp_path / "v.onnx", 0, kind), dict(asked.inputs), "dynamic")
        found = verify(path, True, asked, limits, good)
        verdicts[kind] = [gate.verdict for gate in found.gates if gate.name.startswith("batch")]
    assert verdicts == {"good": ["pass", "pass"], "leak between neighbours": ["fail", "pass"]}


def test_verify_fails_what_cannot_be_loaded(tmp_path: Path) -> None:
    good = variant(tmp_path / "good.onnx", 0, "good")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no graph")
    found = verify(bad, False, question(good, 0), Gates(bootstrap=100))
    assert [gate.verdict for gate in found.gates] == ["fail"]
