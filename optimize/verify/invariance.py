"""A row's answer must not depend on the rows it happens to be batched with.

How much it may is taken from the candidate itself. A graph that rounds nothing may differ by the
tolerance of the gates. One that is quantised may differ by what its rounding does to a row alone,
because a number on the edge between two steps may fall to either side. Dynamic quantisation takes
its scale from the batch: there the graph is held to this with its scales frozen, and as it is to a
few times its rounding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optimize.gates import Gate
from optimize.session import ServedModel
from optimize.settings import Gates
from optimize.verify.compare import row_errors
from optimize.verify.frozen import freeze_scales, takes_scales_from_batch
from serve.tensors import Array

__all__ = ["SCALE_SPREAD", "Invariance", "batch_invariance", "invariance_gates", "spread"]

SIZES = (*range(2, 18), 31, 32, 33, 64)
"""Every small size, because faults of one size are known, and those around powers of two."""
SAMPLE_ROWS = 64
SCALE_NOISE = 4.0
"""By so many times its rounding a batch's scale may move a row. Measured on 84 small graphs: 1.1 to
2.5, and up to 5 where inputs have tails as heavy as Student's t with 2.5 degrees; MiniLM: 1.4."""
SCALE_SPREAD = 0.05
"""With nothing but rounding between them, answers are never farther apart than this share of the
output's spread, however coarse the rounding is. MiniLM with its scales frozen: 1e-8."""


@dataclass(frozen=True)
class Invariance:
    """By floating-point output the largest difference between a row alone and in a batch, and the
    size of that batch; ``flips`` counts other values of all other outputs.

    ``alone`` are the answers to the rows one by one.
    """

    largest: Mapping[str, float]
    where: Mapping[str, int]
    flips: int
    alone: Mapping[str, Array]


def invariance_gates(
    path: Path,
    model: ServedModel,
    inputs: Mapping[str, Array],
    limits: Gates,
    unrounded: Path | None,
) -> list[Gate]:
    """The gates of a candidate; ``unrounded`` is the graph that it is a rounded form of, if any.

    Raises:
        BackendError: the candidate or the other graph has no answer.
    """
    sample = {name: array[:SAMPLE_ROWS] for name, array in inputs.items()}
    found = batch_invariance(model, sample, limits.rtol)
    given = dict.fromkeys(found.largest, limits.batch_atol or 0.0)
    if unrounded is None:
        allowed = dict.fromkeys(found.largest, limits.atol)
        allowed = allowed if limits.batch_atol is None else given
        return [_gate("batch invariance", found, allowed, flips=False)]
    with ServedModel(unrounded) as exact:
        wanted = exact.answer(sample)
    widest = {name: SCALE_SPREAD * spread(wanted[name]) for name in found.largest}
    noise = {
        name: _largest_error(found.alone[name], wanted[name]) + limits.atol
        for name in found.largest
    }
    rounding = {name: min(size, widest[name] + limits.atol) for name, size in noise.items()}
    if path.suffix != ".onnx" or not takes_scales_from_batch(path):
        allowed = rounding if limits.batch_atol is None else given
        return [_gate("batch invariance", found, allowed, flips=True)]
    scaled = {name: SCALE_NOISE * size for name, size in noise.items()}
    scaled = scaled if limits.batch_atol is None else given
    gates = [_gate("batch scale", found, scaled, flips=True)]
    with tempfile.TemporaryDirectory() as folder:
        frozen = freeze_scales(path, Path(folder), sample)
        if frozen is None:
            return gates
        with ServedModel(frozen) as still:
            left = batch_invariance(still, sample, limits.rtol)
    return [_gate("batch invariance", left, rounding, flips=True), *gates]


def batch_invariance(
    model: ServedModel, arrays: Mapping[str, Array], rtol: float = 0.0
) -> Invariance:
    """Ask each of the rows alone, then among others in batches of many sizes, twice shuffled.

    A difference counts as far as it is more than ``rtol`` of the number itself.
    """
    rows = len(next(iter(arrays.values())))
    alone = model.answer(arrays, batch_rows=1)
    rng = np.random.default_rng(0)
    largest = {name: 0.0 for name, array in alone.items() if array.dtype.kind == "f"}
    where = dict.fromkeys(largest, 0)
    flips = 0
    for size in SIZES:
        for _ in range(2):
            # Rows repeat where the batch is larger than the sample.
            order = np.concatenate([rng.permutation(rows) for _ in range(-(-size // rows))])
            order = order[: max(size, len(order) // size * size)]
            batched = model.answer(
                {name: array[order] for name, array in arrays.items()}, batch_rows=size
            )
            for name, array in batched.items():
                wanted = alone[name][order]
                if name not in largest:
                    flips += int((array != wanted).sum())
                    continue
                over = row_errors(array, wanted) - rtol * np.nan_to_num(np.abs(wanted), posinf=0)
                error = float(over.max(initial=0.0))
                if error > largest[name]:
                    largest[name], where[name] = error, size
    return Invariance(largest, where, flips, alone)


def _gate(name: str, found: Invariance, limits: Mapping[str, float], *, flips: bool) -> Gate:
    """Of the output that is worst for its limit; ``flips`` is whether other values are allowed."""
    if found.flips and not flips:
        detail = f"{found.flips} classes or words change with the batch"
        return Gate(name, "fail", 0, found.flips, detail=detail)
    if not limits:
        return Gate(name, "pass", 0, 0)
    worst = max(limits, key=lambda output: found.largest[output] - limits[output])
    value, limit = found.largest[worst], limits[worst]
    detail = f"{worst}, in batches of {found.where[worst]}" if value > 0 else ""
    return Gate(name, "pass" if value <= limit else "fail", limit, value, detail=detail)


def _largest_error(got: Array, wanted: Array) -> float:
    """Infinities and NaN are another gate's business."""
    error = row_errors(got.reshape(wanted.shape), wanted)
    return float(np.max(error[np.isfinite(error)], initial=0.0))


def spread(array: Array) -> float:
    """The distance between the 1st and the 99th percentile."""
    return float(np.ptp(np.nanpercentile(array.astype(np.float64), (1, 99))))
