"""Whether two versions say the same: of their signatures, and of their answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from serve.executors.live import LiveModel
from serve.tensors import Array, TensorSpec

__all__ = ["Agreement", "compare", "misfit"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Agreement(msgspec.Struct, frozen=True):
    """Of some answers: how many differ, and the sum and the largest of their distances.

    The distance of two answers is the largest difference of their numbers, where it is finite.
    """

    compared: int
    disagreed: int
    distance_sum: float
    distance_max: float


def compare(
    expected: Sequence[Array], got: Sequence[Array], rows: Sequence[int], tolerance: float
) -> Agreement:
    """Compare answers to several requests, of which the n-th has ``rows[n]`` rows of each output.

    Floating-point numbers agree if they differ by no more than ``tolerance``, relative to the
    larger of the two and 1, or are both NaN; all else has to be equal, and so have shapes. A
    single answer may be of a model without a batch dimension.
    """
    disagree = np.zeros(len(rows), np.bool_)
    distance = np.zeros(len(rows), np.float64)
    lengths = np.array(rows, np.int64)
    starts = np.cumsum(lengths) - lengths
    for one, other in zip(expected, got, strict=True):
        if one.shape != other.shape:
            disagree[:] = True
        elif one.size:
            differs, apart = _differences(one, other, tolerance)
            if len(rows) > 1:
                inner = tuple(range(1, one.ndim))
                disagree |= np.logical_or.reduceat(differs.any(inner), starts)
                distance = np.maximum(distance, np.maximum.reduceat(apart.max(inner), starts))
            else:
                disagree |= differs.any()
                distance = np.maximum(distance, apart.max())
    return Agreement(
        len(rows), int(disagree.sum()), float(distance.sum()), float(distance.max(initial=0.0))
    )


def _differences(one: Array, other: Array, tolerance: float) -> tuple[Bools, Floats]:
    """By element: whether they differ, and by how much, where that is a finite number."""
    kinds = one.dtype.kind + other.dtype.kind
    if not set(kinds).isdisjoint("OSU"):
        differs = np.array(
            [_bytes(a) != _bytes(b) for a, b in zip(one.flat, other.flat, strict=True)]
        ).reshape(one.shape)
        return differs, np.zeros(one.shape, np.float64)
    first, second = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(first - second)
    finite = np.isfinite(apart)
    if set(kinds) <= set("biu"):
        return one != other, apart
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    scale = np.maximum(1.0, np.maximum(np.abs(first), np.abs(second)))
    with np.errstate(invalid="ignore", over="ignore"):
        near = finite & (apart <= tolerance * scale)
    return ~(same | near), np.where(finite, apart, 0.0)


def _bytes(value: Any) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)


def misfit(one: LiveModel, other: LiveModel) -> str:
    """Why ``other`` cannot be given the requests of ``one``, or their answers not be compared;
    "" where both can."""
    mine, theirs = one.signature, other.signature
    if mine.batched != theirs.batched:
        which = (one, other) if mine.batched else (other, one)
        return f"version {which[0].version} has a batch dimension, version {which[1].version} none"
    names = {spec.name for spec in mine.inputs}
    for spec in theirs.inputs:
        if spec.name not in names:
            return f"input '{spec.name}' is not one of version {one.version}"
    return next(
        filter(
            None,
            [
                *_differing("input", mine.inputs, theirs.inputs, one.version),
                *_differing("output", mine.outputs, theirs.outputs, one.version),
            ],
        ),
        "",
    )


def _differing(
    kind: str, mine: Iterable[TensorSpec], theirs: Iterable[TensorSpec], version: str
) -> Iterable[str]:
    """What is wrong with each of ``theirs``, as seen from version ``version``."""
    known = {spec.name: spec for spec in theirs}
    for spec in mine:
        other = known.get(spec.name)
        if other is None:
            yield f"it has no {kind} '{spec.name}', as version {version} has"
        elif not _fits(kind, spec, other):
            yield (f"{kind} '{spec.name}' is {_shown(other)}, of version {version} {_shown(spec)}")


def _fits(kind: str, spec: TensorSpec, other: TensorSpec) -> bool:
    if kind == "input":
        fits = spec.datatype == other.datatype
    else:
        fits = (spec.datatype == "BYTES") == (other.datatype == "BYTES")
    if len(spec.shape) != len(other.shape):
        return False
    pairs = zip(spec.shape, other.shape, strict=True)
    if kind == "input":
        return fits and all(theirs in (-1, own) for own, theirs in pairs)
    return fits and all(-1 in (own, theirs) or own == theirs for own, theirs in pairs)


def _shown(spec: TensorSpec) -> str:
    return f"{spec.datatype} [{','.join(map(str, spec.shape))}]"
