"""One distillation from the rows to the graph, with what it is worth in ``distil.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optimize.asked import EVALUATION, TARGET
from optimize.distil.compare import Judge, Pair, Scores, comparison
from optimize.distil.course import Course, course_of
from optimize.distil.loop import Fitted, Schedule, raw_answers, together, train
from optimize.distil.loss import Loss, Wanted
from optimize.distil.target import Target, target_of
from optimize.distil.teach import Lessons, read_lessons
from optimize.errors import OptimizeError
from optimize.steps.base import Teaching
from optimize.steps.distil import RESULT, Distil
from serve.backends.threads import available_cores
from serve.clock import monotonic_ns
from serve.repository.golden import read_golden

__all__ = ["distil"]

FEWEST_ROWS = 20
"""Fewer rows cannot be learnt from and held out at once."""
CANDIDATE_SHARE = 0.45
"""Of the time, for the candidate where it is compared: the same student alone takes as long."""


def distil(step: Distil, teaching: Teaching, target_path: Path) -> None:
    """Train a student, write its graph to ``target_path`` and ``distil.json`` beside it.

    Raises:
        OptimizeError: there is nothing to learn from, or the student cannot learn it.
    """
    # A small student's steps are over before a second thread has begun.
    torch.set_num_threads(1 if step.student in ("mlp", "cnn") else available_cores())
    began_ns, all_ns = monotonic_ns(), int(step.minutes * 60e9)
    lessons = read_lessons(teaching.lessons)
    evaluation, answers = read_golden(teaching.reference / EVALUATION)
    truth = np.load(teaching.reference / TARGET, allow_pickle=False)
    if len(lessons) < FEWEST_ROWS:
        raise OptimizeError(
            step="distil",
            problem=f"there are {len(lessons)} rows to learn from",
            remedy=f"give optimize.data.training or optimize.data.transfer {FEWEST_ROWS} at least",
        )
    target = target_of(lessons.answers[teaching.output], truth)
    judge = Judge(truth, teaching.metrics, teaching.custom())
    original = judge.original(answers[teaching.output])
    course = course_of(step, teaching, lessons, evaluation, target)
    wanted = _wanted(lessons, target, teaching.output)
    school = _School(step, course, judge, Loss(target.kind, step.temperature, step.alpha), wanted)

    share = CANDIDATE_SHARE if step.seeds and school.labelled >= FEWEST_ROWS else 1.0
    student, fitted, scores = school.taught(step.seed, began_ns + int(share * all_ns))
    course.write(student, target_path)
    pairs, why = _pairs(school, scores, fitted, began_ns + all_ns)
    result = {
        "name": step.label(),
        "student": step.student,
        "kind": target.kind,
        "parameters": sum(each.numel() for each in student.parameters()),
        "rows": {
            "labelled": lessons.labelled,
            "unlabelled": len(lessons) - lessons.labelled,
            "held_out": int(step.held_out * len(lessons)),
            "left_out": lessons.left_out,
        },
        "steps": fitted.steps,
        "epochs": fitted.epochs,
        "stopped": fitted.stopped,
        "held_out_loss": fitted.held_out_loss,
        "metrics": comparison(original, scores, pairs),
        "compared": len(pairs),
        "not_compared": why,
    }
    (target_path.parent / RESULT).write_text(json.dumps(result, indent=1))


class _School:
    """Trains students of one step, each from a seed, with the teacher or alone."""

    def __init__(
        self, step: Distil, course: Course, judge: Judge, loss: Loss, wanted: Wanted
    ) -> None:
        self.step = step
        self._course = course
        self._judge = judge
        self._loss = loss
        self._wanted = wanted

    @property
    def labelled(self) -> int:
        """Rows with a target."""
        return int(self._wanted.labelled.sum())

    def taught(self, seed: int, deadline_ns: int) -> tuple[nn.Module, Fitted, Scores]:
        """A student of the original."""
        print(f"seed {seed}: taught by the original", flush=True)  # noqa: T201 - log.txt
        return self._fit(seed, self._loss, torch.ones(len(self._wanted.labelled)) > 0, deadline_ns)

    def alone(self, seed: int, steps: int, deadline_ns: int) -> tuple[nn.Module, Fitted, Scores]:
        """The same student, trained on the true target alone for as many steps."""
        print(f"seed {seed}: without the original", flush=True)  # noqa: T201 - log.txt
        loss = Loss(self._loss.kind, self._loss.temperature, 0.0)
        return self._fit(seed, loss, self._wanted.labelled, deadline_ns, steps)

    def _fit(
        self, seed: int, loss: Loss, rows: Tensor, deadline_ns: int, steps: int | None = None
    ) -> tuple[nn.Module, Fitted, Scores]:
        torch.manual_seed(seed)
        step, course = self.step, self._course
        student = course.make()
        chance = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(rows), generator=chance)
        order = order[rows[order]]
        if loss.kind == "embedding":  # a row that is held out apart from its like says nothing
            order = together(order, self._wanted.hard, chance)
        held_out = max(1, int(step.held_out * len(order)))
        schedule = Schedule(
            step.epochs,
            step.patience,
            step.batch_rows,
            step.learning_rate or step.usual_rate,
            seed,
            deadline_ns,
            steps,
        )
        parts = (order[held_out:], order[:held_out])
        fitted = train(student, course.lessons, self._wanted, parts, loss, schedule, _say)
        rows_judged = torch.arange(len(course.evaluation))
        answers = raw_answers(course.served(student), course.evaluation, rows_judged)
        return student, fitted, self._judge(answers.numpy())


def _pairs(
    school: _School, scores: Scores, fitted: Fitted, deadline_ns: int
) -> tuple[list[Pair], str]:
    """The scores with and without the teacher, seed by seed, and why there are no more."""
    if school.labelled < FEWEST_ROWS:
        return [], "optimize.data.training has no rows with a target to train without the teacher"
    pairs: list[Pair] = []
    for seed in range(school.step.seed, school.step.seed + school.step.seeds):
        taught, steps = scores, fitted.steps
        if pairs:
            _, again, taught = school.taught(seed, deadline_ns)
            steps = again.steps
        _, _, alone = school.alone(seed, steps, deadline_ns)
        if monotonic_ns() > deadline_ns:
            return pairs, f"the time limit of {school.step.minutes:g} minutes was reached"
        pairs.append(Pair(seed, taught, alone))
    return pairs, ""


def _wanted(lessons: Lessons, target: Target, judged: str) -> Wanted:
    raw = target.raw(lessons.answers[judged])
    hard = target.hard(lessons.hard)
    rows, labelled = len(lessons), lessons.labelled
    # A row without a label is in a group of its own.
    filler: Any = -1 - np.arange(rows - labelled)
    if hard.ndim == 2:
        filler = np.zeros((rows - labelled, hard.shape[1]))
    elif target.kind != "embedding":
        filler = np.zeros(rows - labelled)
    whole = np.concatenate([hard, filler.astype(hard.dtype)])
    return Wanted(torch.from_numpy(raw), torch.from_numpy(whole), torch.arange(rows) < labelled)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - log.txt
