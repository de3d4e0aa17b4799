from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimize.errors import OptimizeError
from optimize.settings import Gates
from optimize.verify.check import Question, verify
from tests.support import onnx_models

ROWS = np.random.default_rng(8).normal(0, 1, (120, 30)).astype(np.float32)


def gate_of(folder: Path, metric: Any, drop: float | dict[str, float] = 0.005) -> Any:
    """The metric's gate for a graph that is held against answers which are a little better."""
    from optimize.session import ServedModel

    path = onnx_models.mlp(folder / "model.onnx")
    with ServedModel(path) as model:
        answers = model.answer({"x": ROWS})
    better = {"probability": answers["probability"] + 0.01}
    target = answers["probability"][:, 0] + 0.01
    question = Question(
        {"x": ROWS},
        better,
        target,
        {},
        {},
        [],
        [],
        "probability",
        ["m.py:own"],
        {"m.py:own": metric},
    )
    found = verify(path, True, question, Gates(max_metric_drop=drop))
    return next(gate for gate in found.gates if gate.name == "metric m.py:own")


def closeness(target: Any, prediction: Any) -> Any:
    return -np.abs(target - prediction[:, 0])


def test_metric_of_each_row_is_judged_by_its_mean(tmp_path: Path) -> None:
    by_row = gate_of(tmp_path, closeness)
    at_once = gate_of(tmp_path, lambda *both: closeness(*both).mean())
    assert by_row.value == pytest.approx(0.01, abs=1e-6)
    assert (by_row.value, by_row.bound) == pytest.approx((at_once.value, at_once.bound))
    assert by_row.verdict == "fail"


def test_drop_may_be_allowed_to_one_metric(tmp_path: Path) -> None:
    assert gate_of(tmp_path, closeness, {"m.py:own": 0.02}).verdict == "pass"
    assert gate_of(tmp_path, closeness, {"m.py:other": 0.02}).limit == 0.005


def test_metric_that_raises_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptimizeError, match=r"metric m\.py:own raised ZeroDivisionError"):
        gate_of(tmp_path, lambda target, prediction: 1 / 0)
