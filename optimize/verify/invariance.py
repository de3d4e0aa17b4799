"""A row's answer must not depend on the rows it happens to be batched with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optimize.session import ServedModel
from optimize.verify.compare import row_errors
from serve.tensors import Array

__all__ = ["Invariance", "batch_invariance"]

SIZES = (*range(2, 18), 31, 32, 33, 64)
"""Every small size, because faults of one size are known, and those around powers of two."""
SAMPLE_ROWS = 64


@dataclass(frozen=True)
class Invariance:
    """The largest difference between a row alone and in a batch, and the batch it was in."""

    largest: float
    flips: int
    where: str


def batch_invariance(model: ServedModel, arrays: Mapping[str, Array]) -> Invariance:
    """Ask each of some rows alone, then among others in batches of many sizes, twice shuffled."""
    rows = min(SAMPLE_ROWS, len(next(iter(arrays.values()))))
    sample = {name: array[:rows] for name, array in arrays.items()}
    alone = model.answer(sample, batch_rows=1)
    rng = np.random.default_rng(0)
    largest, flips, where = 0.0, 0, ""
    for size in SIZES:
        for _ in range(2):
            # Rows repeat where the batch is larger than the sample.
            order = np.concatenate([rng.permutation(rows) for _ in range(-(-size // rows))])
            order = order[: max(size, len(order) // size * size)]
            batched = model.answer(
                {name: array[order] for name, array in sample.items()}, batch_rows=size
            )
            for name, array in batched.items():
                wanted = alone[name][order]
                if array.dtype.kind != "f":
                    changed = int((array != wanted).sum())
                    if changed:
                        flips, where = flips + changed, where or f"{name}, in batches of {size}"
                    continue
                error = float(row_errors(array, wanted).max(initial=0.0))
                if error > largest:
                    largest, where = error, f"{name}, in batches of {size}"
    return Invariance(largest, flips, where)
