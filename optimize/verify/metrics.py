"""Metrics of a task, prepared once and then scored for many weightings of the rows.

A bootstrap resample is a weight for each row (how often it was drawn), so sorting happens once and
a thousand resamples take seconds. In every built-in metric here more is better; errors and losses
are their negatives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np

from optimize.errors import OptimizeError
from serve.tensors import Array

__all__ = ["METRICS", "Score", "prepare"]

Score = Callable[[Array], float]
"""The metric for rows of such weights."""

AT_FPR = re.compile(r"recall_at_fpr_(0?\.\d+)")


def prepare(name: str, target: Array, prediction: Array) -> Score:
    """The built-in metric ``name`` of these rows.

    Args:
        target: [rows]; of a classifier the index of each row's class.
        prediction: [rows] or [rows, 1] scores, or [rows, classes] probabilities.

    Raises:
        OptimizeError: no such metric, or these rows cannot be scored by it.
    """
    at_fpr = AT_FPR.fullmatch(name)
    if at_fpr:
        make: Callable[[Array, Array], Score] = partial(_recall_at_fpr, float(at_fpr.group(1)))
    elif name in METRICS:
        make = METRICS[name]
    else:
        raise OptimizeError(
            step="verify",
            problem=f"optimize.metric: there is no metric {name!r}",
            remedy=f"use one of {', '.join(sorted(METRICS))}, recall_at_fpr_0.01, or"
            " `file.py:function`",
        )
    ranking = at_fpr is not None or name in ("roc_auc", "average_precision")
    if ranking and len(np.unique(target)) < 2:
        raise OptimizeError(
            step="verify",
            problem=f"the evaluation set has one class only, for which {name} says nothing",
            remedy="give optimize.data.evaluation rows of every class",
        )
    return make(target, prediction)


def _positive(prediction: Array) -> Array:
    """The score of the second class, which is the positive one."""
    if prediction.ndim == 2 and prediction.shape[1] == 2:
        return prediction[:, 1]
    return prediction.reshape(len(prediction), -1)[:, 0]


def _curve(target: Array, prediction: Array) -> Callable[[Array], tuple[Array, Array]]:
    """Weights → true and false positives at each distinct score, from the highest down."""
    scores = _positive(prediction).astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    positive = (target[order] > 0).astype(np.float64)

    def counts(weights: Array) -> tuple[Array, Array]:
        of_rank = weights[order]
        true = np.cumsum(of_rank * positive)[ends]
        return true, np.cumsum(of_rank)[ends] - true

    return counts


def _average_precision(target: Array, prediction: Array) -> Score:
    curve = _curve(target, prediction)

    def score(weights: Array) -> float:
        true, false = curve(weights)
        if true[-1] == 0:
            return float("nan")
        steps = np.diff(true, prepend=0.0)
        return float((steps * true / np.maximum(true + false, 1e-300)).sum() / true[-1])

    return score


def _roc_auc(target: Array, prediction: Array) -> Score:
    curve = _curve(target, prediction)

    def score(weights: Array) -> float:
        true, false = curve(weights)
        if true[-1] == 0 or false[-1] == 0:
            return float("nan")
        area = np.trapezoid(np.append(0.0, true), np.append(0.0, false))
        return float(area / (true[-1] * false[-1]))

    return score


def _recall_at_fpr(limit: float, target: Array, prediction: Array) -> Score:
    curve = _curve(target, prediction)

    def score(weights: Array) -> float:
        true, false = curve(weights)
        if true[-1] == 0 or false[-1] == 0:
            return float("nan")
        within = true[false <= limit * false[-1]]
        return float(within[-1] / true[-1]) if len(within) else 0.0

    return score


def _mean(values: Array) -> Score:
    return lambda weights: float((weights * values).sum() / weights.sum())


def _accuracy(target: Array, prediction: Array) -> Score:
    if prediction.ndim == 2 and prediction.shape[1] > 1:
        chosen = prediction.argmax(axis=1)
    elif prediction.dtype.kind == "f":
        chosen = (prediction.reshape(len(prediction)) > 0.5).astype(np.int64)
    else:
        chosen = prediction.reshape(len(prediction))
    return _mean((chosen == target).astype(np.float64))


def _log_loss(target: Array, prediction: Array) -> Score:
    if prediction.ndim == 2 and prediction.shape[1] > 1:
        of_class = prediction[np.arange(len(target)), target.astype(np.int64)]
    else:
        score = prediction.reshape(len(prediction))
        of_class = np.where(target > 0, score, 1 - score)
    # The clip would hide a NaN, and turn a candidate that answers nothing into a bad one.
    return _mean(np.log(np.clip(of_class.astype(np.float64), 1e-15, 1)))


def _mae(target: Array, prediction: Array) -> Score:
    return _mean(-np.abs(target - prediction.reshape(len(prediction)).astype(np.float64)))


def _rmse(target: Array, prediction: Array) -> Score:
    squared = _mean((target - prediction.reshape(len(prediction)).astype(np.float64)) ** 2)
    return lambda weights: -float(np.sqrt(squared(weights)))


def _r2(target: Array, prediction: Array) -> Score:
    squared = _mean((target - prediction.reshape(len(prediction)).astype(np.float64)) ** 2)

    def score(weights: Array) -> float:
        mean = float((weights * target).sum() / weights.sum())
        variance = float((weights * (target - mean) ** 2).sum() / weights.sum())
        return 1 - squared(weights) / variance if variance else float("nan")

    return score


METRICS: dict[str, Callable[[Array, Array], Score]] = {
    "accuracy": _accuracy,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "mae": _mae,
    "r2": _r2,
    "rmse": _rmse,
    "roc_auc": _roc_auc,
}
