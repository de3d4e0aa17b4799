"""Rows that real data has too few of: gaps, unknown words, infinities, values on a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from optimize.rows import Input, Rows, joined
from serve.tensors import Array

__all__ = ["Answer", "answered", "boundary_rows", "edge_rows"]

Answer = Callable[[Rows], dict[str, Array]]
"""The original: outputs by name of some rows; may raise for rows that it refuses."""

Range = tuple[float | None, float | None]

WORDS = {
    "empty string": "",
    "unknown category": "§ never seen §",
    "non-ASCII": "Größe-日本-🙂",
    "long string": "x" * 300,
    "very long text": "a great many words " * 300,
}
NUMBERS = {
    "+inf": math.inf,
    "-inf": -math.inf,
    "zero": 0.0,
    "largest": float(np.finfo(np.float32).max),
    "lowest": float(np.finfo(np.float32).min),
}
MAX_COLUMNS = 64
"""Columns of a matrix that are tried one by one."""


def edge_rows(
    rows: Rows, inputs: Sequence[Input], ranges: Mapping[str, Range]
) -> tuple[Rows, list[str]]:
    """Copies of two real rows with one thing changed in each, and what was changed.

    A value that the server refuses (outside ``inputs.<name>.range``) is left out.
    """
    parts: list[Rows] = []
    labels: list[str] = []
    for base in {0, len(rows) // 2}:
        real = rows.take(slice(base, base + 1))
        for spec in inputs:
            for column, place in _elements(real, spec):
                if spec.missing is not None:
                    parts.append(_with_gap(real, spec.name, column))
                    labels.append(f"{place} is null")
                for label, value in _values(rows, spec, column).items():
                    if _may_be(spec, value, ranges.get(spec.name)):
                        item = value.encode() if isinstance(value, str) else value
                        parts.append(_with_value(real, spec.name, column, item))
                        labels.append(f"{place} is {label}")
        gone = real
        for spec in inputs:
            if spec.missing is not None:
                gone = _with_gap(gone, spec.name, slice(None))
        parts.append(gone)
        labels.append("every input is null")
    return joined(parts), labels


def answered(answer: Answer, rows: Rows) -> tuple[dict[str, Array], list[int]]:
    """The original's answers, and the numbers of the rows it gave one for.

    What it refuses has no right answer to compare with. Halves are tried until the refused rows
    stand alone.
    """
    parts: list[dict[str, Array]] = []
    kept: list[int] = []
    pending = [(0, len(rows))]
    while pending:
        start, stop = pending.pop()
        try:
            with np.errstate(all="ignore"):
                part = answer(rows.take(slice(start, stop)))
        except Exception:  # noqa: BLE001 - any error of any library is a refusal
            if stop - start > 1:
                middle = (start + stop) // 2
                pending += [(middle, stop), (start, middle)]
            continue
        parts.append(part)
        kept += range(start, stop)
    names = parts[0] if parts else {}
    return {name: np.concatenate([part[name] for part in parts]) for name in names}, kept


def boundary_rows(
    answer: Answer, rows: Rows, inputs: Sequence[Input], ulps: int
) -> tuple[Rows | None, list[str], list[int]]:
    """Rows on either side of where the original's answer changes, as close as FP32 allows.

    Found by bisection on the original itself, so for trees these are the split thresholds,
    whatever preprocessing lies before them; for smooth models, any two neighbouring values.

    Returns the rows, what each is, and its group: with ``ulps`` above 0 the values around a
    boundary are in one group, and an answer to one of them counts for all.
    """
    places = [
        (spec.name, column, place)
        for spec in inputs
        if spec.datatype == "FP32"
        for column, place in _elements(rows.take(slice(0, 1)), spec)
    ]
    if not places or len(rows) < 2:
        return None, [], []
    rng = np.random.default_rng(0)
    tries = [(place, *rng.integers(0, len(rows), 2)) for place in places for _ in range(4)]
    tries = [
        (place, base, other)
        for place, base, other in tries
        if _finite(rows, place, base) and _finite(rows, place, other)
    ]
    if not tries:
        return None, [], []
    bases = rows.take(np.array([base for _, base, _ in tries]))
    low = _ordered(np.array([_value(rows, place, base) for place, base, _ in tries], np.float32))
    high = _ordered(np.array([_value(rows, place, other) for place, _, other in tries], np.float32))
    at_low = answer(_placed(bases, tries, low))
    different = _unlike(at_low, answer(_placed(bases, tries, high)))
    while np.any(np.abs(high - low)[different] > 1):
        middle = (low + high) // 2
        moved = _unlike(at_low, answer(_placed(bases, tries, middle)))
        high = np.where(moved, middle, high)
        low = np.where(moved, low, middle)
    parts, labels, groups = [], [], []
    kept = np.flatnonzero(different)
    for offset in range(-ulps, ulps + 1):
        for side in (low, high):
            parts.append(_placed(bases, tries, side + offset).take(kept))
            labels += [f"{tries[i][0][2]} is on a threshold" for i in kept]
            groups += kept.tolist()
    return (joined(parts) if len(kept) else None), labels, groups


def _values(rows: Rows, spec: Input, column: int) -> Mapping[str, float | int | str]:
    """What to put in one place; whole numbers are often indexes, and others than seen no rows."""
    if spec.datatype == "BYTES":
        return WORDS
    array = rows.arrays[spec.name]
    if array.dtype.kind not in "iu":
        return NUMBERS
    seen = array.reshape(len(array), -1)[:, column]
    return {"the smallest seen": int(seen.min()), "the largest seen": int(seen.max())}


def _elements(row: Rows, spec: Input) -> list[tuple[int, str]]:
    """Flat positions within one row of an input, each with a name for people."""
    size = row.arrays[spec.name].size
    if size == 1:
        return [(0, spec.name)]
    return [(index, f"{spec.name}[{index}]") for index in range(min(size, MAX_COLUMNS))]


def _with_gap(row: Rows, name: str, column: int | slice) -> Rows:
    array = row.arrays[name].copy()
    mask = np.zeros(array.shape, np.bool_)
    mask.reshape(-1)[column] = True
    array[mask] = b"" if array.dtype == object else 0
    return Rows({**row.arrays, name: array}, {**row.missing, name: mask})


def _with_value(row: Rows, name: str, column: int, value: float | bytes) -> Rows:
    array = row.arrays[name].copy()
    array.reshape(-1)[column] = value
    missing = dict(row.missing)
    if name in missing:
        missing[name] = missing[name].copy()
        missing[name].reshape(-1)[column] = False
    return Rows({**row.arrays, name: array}, missing)


def _may_be(spec: Input, value: float | str, limits: Range | None) -> bool:
    if isinstance(value, str):
        return True
    if spec.datatype not in ("FP32", "FP64") and not isinstance(value, int):
        return False
    low, high = limits or (None, None)
    return (low is None or value >= low) and (high is None or value <= high)


def _value(rows: Rows, place: tuple[str, int, str], row: int) -> float:
    return float(rows.arrays[place[0]][row].reshape(-1)[place[1]])


def _finite(rows: Rows, place: tuple[str, int, str], row: int) -> bool:
    return math.isfinite(_value(rows, place, row))


def _ordered(values: Array) -> Array:
    """FP32 as integers of the same order, so that neighbours differ by one."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _floats(ordered: Array) -> Array:
    bits = np.where(ordered < 0, (-ordered) | 0x80000000, ordered).astype(np.uint32)
    return bits.view(np.float32)


def _placed(bases: Rows, tries: Sequence[tuple[tuple[str, int, str], int, int]], at: Array) -> Rows:
    """The base rows, each with its value put in its place."""
    arrays = {name: array.copy() for name, array in bases.arrays.items()}
    missing = {name: mask.copy() for name, mask in bases.missing.items()}
    for index, (((name, column, _), _, _), value) in enumerate(
        zip(tries, _floats(at), strict=True)
    ):
        arrays[name][index].reshape(-1)[column] = value
        if name in missing:
            missing[name][index].reshape(-1)[column] = False
    return Rows(arrays, missing)


def _unlike(one: Mapping[str, Array], other: Mapping[str, Array]) -> Array:
    """Which rows have another answer; any output and any element counts."""
    different = np.zeros(len(next(iter(one.values()))), np.bool_)
    for name, array in one.items():
        same = array == other[name]
        different |= ~same.reshape(len(array), -1).all(axis=1)
    return different
