"""Which rows of a batch run together, so that short texts are not padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["groups_of_lengths"]

RUN_TOKENS = 64
"""What a further run costs, in padded tokens that the same time would calculate: small matrices
leave a processor half idle."""

Rows = npt.NDArray[np.intp]


def groups_of_lengths(lengths: Sequence[int]) -> list[Rows]:
    """Rows of the batch in groups, every row in one; the longest texts first.

    A cut is made where it saves more padding than a run costs, and each part is cut again.
    """
    count = len(lengths)
    if (max(lengths) - min(lengths)) * (count - 1) <= RUN_TOKENS:
        return [np.arange(count)]
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return _cut(order, np.asarray(lengths)[order])


def _cut(rows: Rows, falling: Rows) -> list[Rows]:
    if len(rows) < 2:
        return [rows]
    # With the first k rows in one group, the others are padded to falling[k] only.
    after = np.arange(1, len(rows))
    saved = (falling[0] - falling[after]) * (len(rows) - after)
    best = int(saved.argmax())
    if saved[best] <= RUN_TOKENS:
        return [rows]
    at = best + 1
    return _cut(rows[:at], falling[:at]) + _cut(rows[at:], falling[at:])
