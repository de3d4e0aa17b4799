"""What the teacher brought: the student beside the same student trained without it.

Both are trained for the same number of steps, from several seeds, and judged on the evaluation
set; the mean of the differences comes with a t interval, so that noise is not taken for a gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimize.errors import OptimizeError
from optimize.verify.metrics import prepare
from serve.tensors import Array

__all__ = ["Judge", "Pair", "comparison"]

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Two-sided 95 % quantiles of Student's t, from one degree of freedom on."""

Scores = dict[str, float]


@dataclass(frozen=True)
class Judge:
    """The metrics on the evaluation set; ``custom`` are the user's own by name."""

    target: Array
    metrics: Sequence[str]
    custom: Mapping[str, Callable[[Array, Array], Any]]

    def __call__(self, prediction: Array) -> Scores:
        """Each metric of the judged output [rows, ...]."""
        return {name: self._score(name, prediction) for name in self.metrics}

    def original(self, prediction: Array) -> Scores:
        """The same of the original, of which each metric must be a number.

        Raises:
            OptimizeError: one is not.
        """
        scores = self(prediction)
        for name, value in scores.items():
            if not math.isfinite(value):
                raise OptimizeError(
                    step="distil",
                    problem=f"metric {name} of the original is {value}",
                    remedy="call it with the target and the original's answers by hand",
                )
        return scores

    def _score(self, name: str, prediction: Array) -> float:
        if name not in self.custom:
            return prepare(name, self.target, prediction)(np.ones(len(self.target)))
        try:
            return float(np.mean(self.custom[name](self.target, prediction)))
        except Exception as error:
            raise OptimizeError(
                step="distil",
                problem=f"metric {name} raised {type(error).__name__}: {error}",
                remedy="call it with the target and the prediction by hand",
            ) from error


@dataclass(frozen=True)
class Pair:
    """The scores of one seed: taught by the original, and by the true target alone."""

    seed: int
    taught: Scores
    alone: Scores


def comparison(original: Scores, student: Scores, pairs: Sequence[Pair]) -> dict[str, Any]:
    """By metric: the original's, the student's, and what seeds say of the difference."""
    return {
        name: {
            "teacher": original[name],
            "student": student[name],
            "seeds": [
                {"seed": pair.seed, "taught": pair.taught[name], "alone": pair.alone[name]}
                for pair in pairs
            ],
            **_difference([pair.taught[name] - pair.alone[name] for pair in pairs]),
        }
        for name in original
    }


def _difference(gains: Sequence[float]) -> dict[str, float]:
    if not gains:
        return {}
    found = {"gain": float(np.mean(gains))}
    if len(gains) > 1:
        spread = float(np.std(gains, ddof=1))
        t = T_975[len(gains) - 2] if len(gains) - 2 < len(T_975) else 1.96
        half = t * spread / math.sqrt(len(gains))
        found |= {"gain_low": found["gain"] - half, "gain_high": found["gain"] + half}
    return found
