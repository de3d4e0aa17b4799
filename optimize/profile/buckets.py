"""Lengths to measure at, where rows vary in length: a long text costs many times a short one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serve.tensors import Array, Signature

__all__ = ["Bucket", "buckets_of", "cut", "row_lengths", "varying_inputs"]

Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

QUANTILES = (0.5, 0.95)
APART = 1.25
"""Default lengths that are not this much apart are measured as one."""


@dataclass(frozen=True)
class Bucket:
    """Rows to measure with, those of about ``length`` first; None where all rows are alike.

    ``typical`` is the bucket that the median row falls into. ``varying`` names the inputs that are
    cut to ``length``; a text is not cut, but chosen by its number of tokens.
    """

    length: int | None
    typical: bool
    rows: Index
    varying: tuple[str, ...] = ()

    def batch(self, size: int) -> Index:
        """Numbers of the rows of one batch; they repeat where there are too few."""
        return np.resize(self.rows, size)


def varying_inputs(signature: Signature) -> tuple[str, ...]:
    """The inputs whose second dimension is open: a sequence."""
    return tuple(
        spec.name for spec in signature.inputs if len(spec.shape) > 1 and spec.shape[1] == -1
    )


def row_lengths(inputs: Mapping[str, Array], names: Sequence[str]) -> Index | None:
    """How long each row is without the zeros it is padded with; None if no input varies.

    Where one of them is a mask, it alone tells.
    """
    longest: Index | None = None
    for name in [name for name in names if "mask" in name] or names:
        array = inputs[name]
        filled: Mask = np.not_equal(array, 0).reshape(len(array), array.shape[1], -1)
        used: Mask = np.logical_or.reduce(filled, axis=2)
        length = np.where(used.any(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1), 1)
        longest = length if longest is None else np.maximum(longest, length)
    return longest


def buckets_of(
    rows: int, lengths: Index | None, wanted: Sequence[int], varying: tuple[str, ...] = ()
) -> list[Bucket]:
    """One bucket for rows that are all alike, else one for each length; the typical one is first.

    Args:
        lengths: [rows] of each row.
        wanted: lengths from the settings; if empty, quantiles of ``lengths``.
    """
    if lengths is None:
        return [Bucket(None, True, np.arange(rows))]
    longest = int(lengths.max())
    chosen = sorted({min(length, longest) for length in wanted}) or _quantiles(lengths)
    median = float(np.median(lengths))
    typical = min(chosen, key=lambda length: abs(length - median))
    made = [
        Bucket(length, length == typical, _nearest(lengths, length), varying) for length in chosen
    ]
    return sorted(made, key=lambda bucket: not bucket.typical)


def cut(arrays: Mapping[str, Array], bucket: Bucket) -> dict[str, Array]:
    """Arrays with the inputs that vary no longer than the bucket."""
    return {
        name: np.ascontiguousarray(array[:, : bucket.length]) if name in bucket.varying else array
        for name, array in arrays.items()
    }


def _quantiles(lengths: Index) -> list[int]:
    short, long = (max(1, round(value)) for value in np.quantile(lengths, QUANTILES))
    return [short] if long < APART * short else [short, long]


def _nearest(lengths: Index, length: int) -> Index:
    return np.argsort(np.abs(lengths - length), kind="stable")
