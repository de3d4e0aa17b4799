"""Two sets of answers to the same rows: how far apart, where worst, how many classes flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serve.tensors import Array

__all__ = ["Comparison", "compare", "row_errors"]


@dataclass(frozen=True)
class Comparison:
    """``excess`` is the largest |difference| less what the tolerance allows; above 0 is a fail.

    ``largest`` and ``excess`` are of floating-point outputs; ``flips`` counts rows whose class
    differs: another whole number or word, or another highest probability.
    """

    largest: float
    excess: float
    flips: int
    worst: str


def compare(
    got: Mapping[str, Array],
    wanted: Mapping[str, Array],
    atol: float,
    rtol: float,
    labels: Sequence[str] | None = None,
) -> Comparison:
    """Hold answers against those of the original; both by output name, with equal rows.

    A NaN equals a NaN and nothing else; an infinity equals itself.
    """
    rows = len(next(iter(wanted.values())))
    largest, excess, worst = 0.0, -np.inf, ""
    flipped = np.zeros(rows, np.bool_)
    for name, array in wanted.items():
        mine = got[name].reshape(array.shape)
        if array.dtype.kind != "f":
            flipped |= _other_class(mine, array)
            continue
        error = row_errors(mine, array)
        reference = np.where(np.isfinite(array), np.abs(array), 0.0).astype(np.float64)
        over = error - atol - rtol * reference
        if over.size and (top := float(over.max())) > excess:
            excess = top
            row = int(np.unravel_index(int(over.argmax()), over.shape)[0])
            worst = f"{name}, {labels[row] if labels else f'row {row}'}"
        largest = max(largest, float(error.max(initial=0.0)))
        if array.ndim == 2 and array.shape[1] > 1:
            top_two = np.sort(array, axis=1)[:, -2:]
            clear = top_two[:, 1] - top_two[:, 0] > 2 * (atol + rtol)
            flipped |= clear & (mine.argmax(axis=1) != array.argmax(axis=1))
    if flipped.any() and excess <= 0:
        row = int(flipped.argmax())
        worst = labels[row] if labels else f"row {row}"
    return Comparison(largest, max(excess, -atol), int(flipped.sum()), worst)


def row_errors(got: Array, wanted: Array) -> Array:
    """|difference| element by element; infinite where one is NaN or infinite and the other not."""
    mine, reference = got.astype(np.float64), wanted.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(mine - reference)
    same = (mine == reference) | (np.isnan(mine) & np.isnan(reference))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def _other_class(got: Array, wanted: Array) -> Array:
    if wanted.dtype == object:
        pairs = zip(got.ravel().tolist(), wanted.ravel().tolist(), strict=True)
        unlike = np.array([_text(one) != _text(other) for one, other in pairs], np.bool_)
    else:
        unlike = (got != wanted).ravel()
    return np.asarray(unlike.reshape(len(wanted), -1).any(axis=1))


def _text(item: bytes | str) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else item
