"""What a student learns to answer: the kind of the judged output, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from optimize.errors import OptimizeError
from serve.tensors import Array

__all__ = ["SURE", "Kind", "Target", "target_of"]

Kind = Literal["classes", "binary", "values", "embedding"]
Floats = npt.NDArray[np.float32]

SURE = 1e-6
"""Probabilities are held this far from 0 and 1, where their logits end."""
UNIT = 1e-3


@dataclass(frozen=True)
class Target:
    """The judged output, of which ``row_shape`` is one row.

    A student's raw answer has ``size`` numbers a row: a logit for each class, one logit, values
    that ``centre`` and ``scale`` (both [size]) turn into the original's units, or a vector that is
    then scaled to length 1. ``logits``: the original itself answers logits, not probabilities.
    """

    kind: Kind
    row_shape: tuple[int, ...]
    centre: Floats
    scale: Floats
    logits: bool = False

    @property
    def size(self) -> int:
        """Numbers in a row of the raw answer."""
        return int(np.prod(self.row_shape, dtype=np.int64))

    def raw(self, answers: Array) -> Floats:
        """Answers [rows, ...] of the original as a student would have to give them, raw."""
        flat = answers.reshape(len(answers), -1).astype(np.float64)
        if self.kind == "values":
            flat = (flat - self.centre) / self.scale
        elif self.kind == "classes" and not self.logits:
            flat = np.log(np.clip(flat, SURE, 1))
        elif self.kind == "binary" and not self.logits:
            sure = np.clip(flat, SURE, 1 - SURE)
            flat = np.log(sure) - np.log1p(-sure)
        return flat.astype(np.float32)

    def hard(self, labels: Array) -> Array:
        """The true target [rows] in the same terms; of an embedding, which rows belong together.

        Raises:
            OptimizeError: it is not what such an output is trained on.
        """
        try:
            if self.kind == "values":
                flat = labels.reshape(len(labels), self.size).astype(np.float64)
                scaled: Array = ((flat - self.centre) / self.scale).astype(np.float32)
                return scaled
            whole = labels.reshape(len(labels)).astype(np.int64)
        except (TypeError, ValueError) as error:
            raise _wrong(
                f"the training target is not what {self.kind} learn from: {error}",
                "give numbers (for an embedding, a number for each group of like rows)",
            ) from error
        highest = {"classes": self.size - 1, "binary": 1}.get(self.kind)
        if highest is not None and len(whole) and not 0 <= whole.min() <= whole.max() <= highest:
            raise _wrong(
                f"the training target has {whole.min()} to {whole.max()}, and the output has"
                f" classes 0 to {highest}",
                "give optimize.data.training a target like that of the evaluation set",
            )
        return whole


def target_of(answers: Array, truth: Array) -> Target:
    """What the original's answers [rows, ...] are; ``truth`` is the evaluation set's target.

    Raises:
        OptimizeError: they are no floating-point numbers, or not finite.
    """
    if answers.dtype.kind != "f":
        raise _wrong(
            "the judged output is not of floating-point numbers",
            "name one that is in optimize.output: scores, probabilities, an embedding",
        )
    flat = answers.reshape(len(answers), -1)
    bad = int((~np.isfinite(flat)).any(axis=1).sum())
    if bad:
        raise _wrong(
            f"the original answers NaN or infinity to {bad} of {len(flat)} transfer rows",
            "leave such rows out of optimize.data.training and optimize.data.transfer",
        )
    columns = flat.shape[1]
    shares = bool(((flat >= -UNIT) & (flat <= 1 + UNIT)).all())
    zeros, ones = np.zeros(columns, np.float32), np.ones(columns, np.float32)
    shape = answers.shape[1:]
    if columns > 1:
        if shares and bool((np.abs(flat.sum(axis=1) - 1) <= UNIT).all()):
            return Target("classes", shape, zeros, ones)
        if bool((np.abs(np.linalg.norm(flat, axis=1) - 1) <= UNIT).all()):
            return Target("embedding", shape, zeros, ones)
        if _are_classes(truth, columns):
            return Target("classes", shape, zeros, ones, logits=True)
    elif _are_classes(truth, 2):
        return Target("binary", shape, zeros, ones, logits=not shares)
    spread = flat.std(axis=0).astype(np.float32)
    centre = flat.mean(axis=0).astype(np.float32)
    return Target("values", shape, centre, np.where(spread > 0, spread, ones))


def _are_classes(truth: Array, count: int) -> bool:
    """Whether each row's target is one of the first whole numbers."""
    if truth.ndim != 1 or truth.dtype.kind not in "iubf":
        return False
    return bool(np.isin(truth, np.arange(count)).all())


def _wrong(problem: str, remedy: str) -> OptimizeError:
    return OptimizeError(step="distil", problem=problem, remedy=remedy)
