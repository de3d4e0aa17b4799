from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from optimize.distil.answer import Served, raw_of
from optimize.distil.target import target_of
from optimize.errors import OptimizeError
from serve.tensors import Array

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(0, 2, (60, 3)).astype(np.float32)
SHARES = (np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)).astype(np.float32)
UNIT = LOGITS / np.linalg.norm(LOGITS, axis=1, keepdims=True)
CLASSES, NUMBERS = RNG.integers(0, 3, 60), RNG.normal(0, 1, 60)
YES = RNG.integers(0, 2, 60)


@pytest.mark.parametrize(
    ("answers", "truth", "kind", "logits"),
    [
        (SHARES, CLASSES, "classes", False),
        (LOGITS, CLASSES, "classes", True),
        (SHARES[:, :1], YES, "binary", False),
        (SHARES[:, 0], YES, "binary", False),
        (LOGITS[:, :1], YES, "binary", True),
        (SHARES[:, :1], NUMBERS, "values", False),
        (LOGITS, NUMBERS, "values", False),
        (UNIT, NUMBERS, "embedding", False),
    ],
)
def test_target_of_tells_what_is_learned_and_how_it_is_served(
    answers: Array, truth: Array, kind: str, logits: bool
) -> None:
    target = target_of(answers, truth)
    assert (target.kind, target.logits) == (kind, logits)
    raw = torch.from_numpy(target.raw(answers))
    served = Served(nn.Identity(), target)(raw).numpy()
    assert served.shape == answers.shape
    np.testing.assert_allclose(served, answers, atol=1e-5)
    np.testing.assert_allclose(raw_of(torch.from_numpy(answers), target), raw, atol=1e-4)


def test_target_of_says_how_many_answers_are_no_numbers() -> None:
    answers = SHARES.copy()
    answers[3, 1] = np.nan
    with pytest.raises(OptimizeError, match="NaN or infinity to 1 of 60 transfer rows"):
        target_of(answers, CLASSES)


def test_target_of_refuses_an_output_that_is_no_score() -> None:
    with pytest.raises(OptimizeError, match=r"optimize\.output"):
        target_of(CLASSES, CLASSES)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.array([0, 7]), "has 0 to 7.*classes 0 to 2"), (np.array(["a", "b"]), "give numbers")],
)
def test_hard_refuses_labels_of_something_else(labels: Array, message: str) -> None:
    with pytest.raises(OptimizeError, match=message):
        target_of(SHARES, CLASSES).hard(labels)
