"""What an extreme row does to those beside it.

A scale that is taken from the whole batch leaves nothing of the other rows once an infinity or a
huge number is in it: one caller's slip would be everybody's wrong answer. Where the row stands may
decide, so several places are tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from optimize.session import ServedModel
from optimize.verify.compare import row_errors
from serve.tensors import Array

__all__ = ["spoils_neighbours"]

NEIGHBOURS = 8
TRIED = 32
"""Edge rows at most; those of the columns of a wide matrix are alike."""
HUGE = 1e30


def spoils_neighbours(
    model: ServedModel,
    inputs: Mapping[str, Array],
    edges: Mapping[str, Array],
    labels: Sequence[str],
    allowed: Mapping[str, float],
) -> str:
    """Which edge row moves an answer beside it by more than ``allowed``; empty if none does.

    Args:
        allowed: of each floating-point output, how far neighbours may move a row.
    """
    real = {name: array[:NEIGHBOURS] for name, array in inputs.items()}
    count = len(next(iter(real.values())))
    wanted = model.answer(real)
    for index in _extremes(edges, len(labels))[:TRIED]:
        row = {name: array[index : index + 1] for name, array in edges.items()}
        for place in sorted({0, count // 2, count}):
            batch = {
                name: np.insert(array, [place], row[name], axis=0) for name, array in real.items()
            }
            got = model.answer(batch)
            for name, limit in allowed.items():
                error = row_errors(np.delete(got[name], place, axis=0), wanted[name])
                if (moved := float(error.max(initial=0.0))) > limit:
                    return f"{labels[index]}: {name} of the rows beside it is {moved:.3g} away"
    return ""


def _extremes(edges: Mapping[str, Array], rows: int) -> list[int]:
    """The edge rows in which some input is NaN, infinite or huge."""
    found = np.zeros(rows, np.bool_)
    for array in edges.values():
        if array.dtype.kind == "f":
            found |= ~(np.abs(array.reshape(rows, -1)) < HUGE).all(axis=1)
    return [int(index) for index in np.flatnonzero(found)]
