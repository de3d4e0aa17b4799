"""Putting the tensors of several entries together, and taking the outputs apart again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import cast

import numpy as np

from serve.scheduling.entry import Entry
from serve.tensors import Array, Batch, Parameter

__all__ = ["join", "runs"]

SMALL_BYTES = 4096
"""Below this, joining bytes beats ``np.concatenate``, which inspects every array it is given."""


def join(entries: Sequence[Entry], rows: int, lost: int = 0) -> Batch:
    """One batch of all entries' rows, in order; without copying them if they lie together."""
    first = entries[0]
    if first.start >= 0 and _lie_together(entries, rows):
        stop = first.start + rows
        inputs = tuple(array[first.start : stop] for array in first.inputs)
    elif len(entries) == 1:
        inputs = tuple(_aligned(array) for array in first.inputs)
    else:
        columns = zip(*(_own_rows(entry) for entry in entries), strict=True)
        inputs = tuple(_join_column(column, rows) for column in columns)
    parameters: tuple[tuple[int, Mapping[str, Parameter]], ...] = ()
    given = [entry.parameters for entry in entries]
    if any(given):
        parameters = tuple((entry.rows, entry.parameters or {}) for entry in entries)
    return Batch(inputs, rows, parameters, lost)


def _lie_together(entries: Sequence[Entry], rows: int) -> bool:
    """Whether the rows of all are neighbours in the same arrays; the first's are in shared ones."""
    first, last = entries[0], entries[-1]
    return (
        len({id(entry.inputs) for entry in entries}) == 1
        and last.start + last.rows - first.start == rows
    )


def _own_rows(entry: Entry) -> tuple[Array, ...]:
    start = entry.start
    if start < 0:
        return entry.inputs
    return tuple([array[start : start + entry.rows] for array in entry.inputs])


def runs(
    entries: Sequence[Entry], outputs: list[Array]
) -> list[tuple[Sequence[Entry], list[Array]]]:
    """Neighbours that share an answerer, with their rows of every output as views."""
    first = entries[0].answerer
    if [entry.answerer for entry in entries].count(first) == len(entries):
        return [(entries, outputs)]
    parts: list[tuple[Sequence[Entry], list[Array]]] = []
    start = 0
    for _, group in groupby(entries, key=lambda entry: id(entry.answerer)):
        run = list(group)
        stop = start + sum(entry.rows for entry in run)
        parts.append((run, [output[start:stop] for output in outputs]))
        start = stop
    return parts


def _aligned(array: Array) -> Array:
    """The array itself, or a copy if a message's header left it at an odd address.

    Runtimes read unaligned numbers several times slower, which costs more than the copy.
    """
    return array if array.flags.aligned else array.copy()


def _join_column(arrays: tuple[Array, ...], rows: int) -> Array:
    first = arrays[0]
    if first.nbytes > SMALL_BYTES or first.dtype.kind not in "fiub":
        return np.concatenate(arrays)
    try:
        joined = b"".join(cast(tuple[memoryview, ...], arrays))
    except (BufferError, TypeError, ValueError):  # not contiguous, or without a buffer
        return np.concatenate(arrays)
    return np.ndarray((rows, *first.shape[1:]), first.dtype, joined)
