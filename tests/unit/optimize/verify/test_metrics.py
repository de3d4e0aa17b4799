from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from optimize.errors import OptimizeError
from optimize.verify.bootstrap import metric_drop
from optimize.verify.metrics import prepare

RNG = np.random.default_rng(1)
TARGET = RNG.integers(0, 2, 200)
SCORES = np.round(np.clip(TARGET * 0.3 + RNG.random(200) * 0.7, 0, 1), 2)  # with ties
WEIGHTS = RNG.integers(0, 4, 200).astype(float)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("average_precision", sklearn_metrics.average_precision_score),
        ("roc_auc", sklearn_metrics.roc_auc_score),
    ],
)
def test_ranking_metrics_agree_with_scikit_learn_on_ties_and_weights(
    name: str, function: object
) -> None:
    got = prepare(name, TARGET, SCORES)(WEIGHTS)
    assert got == pytest.approx(function(TARGET, SCORES, sample_weight=WEIGHTS))  # type: ignore[operator]


def test_recall_at_fpr_counts_what_is_found_within_the_false_alarms() -> None:
    target = np.array([1, 1, 0, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert prepare("recall_at_fpr_0.2", target, scores)(np.ones(6)) == pytest.approx(2 / 3)
    assert prepare("recall_at_fpr_0.4", target, scores)(np.ones(6)) == pytest.approx(1)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "recall_at_fpr_0.01"])
def test_a_ranking_metric_refuses_one_class(name: str) -> None:
    with pytest.raises(OptimizeError, match="one class only"):
        prepare(name, np.zeros(5), np.arange(5.0))


def test_prepare_lists_the_metrics_there_are() -> None:
    with pytest.raises(OptimizeError, match="accuracy, average_precision"):
        prepare("accurracy", TARGET, SCORES)


def test_metric_drop_bounds_more_than_the_point_estimate() -> None:
    worse = np.where(RNG.random(200) < 0.05, 1 - TARGET, TARGET).astype(float)
    original, candidate = (prepare("accuracy", TARGET, each) for each in (TARGET * 1.0, worse))
    found = metric_drop("accuracy", original, candidate, 200, 300, 0.95)
    assert found.drop > 0
    assert found.bound > found.drop


def test_metric_drop_of_a_candidate_that_answers_nan_is_without_bound() -> None:
    original = prepare("rmse", SCORES, SCORES)
    candidate = prepare("rmse", SCORES, SCORES * np.nan)
    assert metric_drop("rmse", original, candidate, 200, 100, 0.95).bound == np.inf


def test_metric_drop_stops_at_a_metric_that_is_nan_for_the_original() -> None:
    nothing = prepare("rmse", SCORES, SCORES * np.nan)
    with pytest.raises(OptimizeError, match="metric rmse of the original is nan"):
        metric_drop("rmse", nothing, nothing, 200, 100, 0.95)
