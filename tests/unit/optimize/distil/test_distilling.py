from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from optimize.asked import EVALUATION, TARGET
from optimize.distil import distilling
from optimize.distil.course import Course
from optimize.distil.examples import Matrix
from optimize.distil.loop import Fitted
from optimize.distil.teach import ABOUT, HARD, ROWS
from optimize.steps.base import Teaching
from optimize.steps.distil import RESULT, Distil
from serve.repository.golden import write_golden

ROWS_TAUGHT = 40
MINUTE_NS = 60 * 10**9


@pytest.fixture
def teaching(tmp_path: Path) -> Teaching:
    """Rows with a target, and what an original answered to them."""
    for name, rows in ((ROWS, ROWS_TAUGHT), (EVALUATION, 30)):
        values = np.random.default_rng(rows).normal(0, 1, (rows, 1)).astype(np.float32)
        write_golden(tmp_path / name, {"x": values}, {"y": 2 * values})
    about = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]}
    (tmp_path / ABOUT).write_text(json.dumps({**about, "left_out": 0, "classes": None}))
    np.save(tmp_path / HARD, np.linspace(0, 1, ROWS_TAUGHT))
    np.save(tmp_path / TARGET, np.linspace(0, 1, 30))
    return Teaching(*[tmp_path] * 4, "y", ["r2"], dict, lambda: None)


def times_given(
    teaching: Teaching, monkeypatch: pytest.MonkeyPatch, **parameters: Any
) -> list[int]:
    """When each training has to end, in nanoseconds from the beginning."""
    ends: list[int] = []

    def train(student: nn.Module, *rest: Any) -> Fitted:
        ends.append(rest[4].deadline_ns)
        return Fitted(3, 1, 0.5, "time limit")

    def course_of(step: Distil, *rest: Any) -> Course:
        rows = Matrix(np.ones((ROWS_TAUGHT, 1), np.float32))
        judged = Matrix(np.ones((30, 1), np.float32))
        return Course(rows, judged, lambda: nn.Linear(1, 1), lambda one: one, lambda *_: None)

    monkeypatch.setattr(distilling, "monotonic_ns", lambda: 0)
    monkeypatch.setattr(distilling, "train", train)
    monkeypatch.setattr(distilling, "course_of", course_of)
    distilling.distil(Distil(minutes=1, **parameters), teaching, teaching.folder / "model.onnx")
    return ends


def test_student_leaves_time_for_itself_alone(
    teaching: Teaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_teacher, alone = times_given(teaching, monkeypatch, seeds=1)
    assert with_teacher < MINUTE_NS / 2 and alone == MINUTE_NS
    found = json.loads((teaching.folder / RESULT).read_text())
    assert found["compared"] == 1 and not found["not_compared"]


def test_student_that_is_not_compared_has_all_the_time(
    teaching: Teaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert times_given(teaching, monkeypatch, seeds=0) == [MINUTE_NS]


def test_student_has_all_the_time_where_no_row_has_a_target(
    teaching: Teaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(teaching.folder / HARD, np.zeros(0))
    assert times_given(teaching, monkeypatch, seeds=1) == [MINUTE_NS]
    found = json.loads((teaching.folder / RESULT).read_text())
    assert not found["compared"] and "no rows with a target" in found["not_compared"]
