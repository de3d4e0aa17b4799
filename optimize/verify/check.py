"""All questions about a candidate's answers: structure, batch invariance, parity, metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optimize.asked import Asked
from optimize.errors import OptimizeError
from optimize.gates import Gate
from optimize.session import ServedModel
from optimize.settings import Gates
from optimize.verify.beside import spoils_neighbours
from optimize.verify.bootstrap import metric_drop
from optimize.verify.compare import compare, row_errors
from optimize.verify.invariance import SCALE_SPREAD, invariance_gates, spread
from optimize.verify.metrics import Score, prepare
from optimize.verify.scale import scale_gate
from serve.config.model import GraphOptimization
from serve.errors import PenstockError
from serve.tensors import Array

__all__ = ["Question", "Verified", "verify"]

SCALE_ROWS = 512
WORST_ROWS = 20
SHOWN_INPUTS, SHOWN_NUMBERS, SHOWN_CHARACTERS = 12, 8, 120

Custom = Callable[[Array, Array], Any]
"""Of target and prediction: the metric, or what each row has of it, whose mean is the metric."""


@dataclass(frozen=True)
class Question(Asked):
    """With the output that ``metrics`` judge; ``custom`` are the user's own metrics by name."""

    output: str
    metrics: Sequence[str]
    custom: Mapping[str, Custom]


@dataclass(frozen=True)
class Verified:
    """The gates, and what the report shows of them."""

    gates: list[Gate]
    metrics: dict[str, dict[str, float]]
    errors: dict[str, Any]


def verify(
    path: Path,
    lossy: bool,
    question: Question,
    limits: Gates,
    unrounded: Path | None = None,
    graph_level: GraphOptimization = "all",
) -> Verified:
    """Ask a candidate everything, until it fails in a way that leaves nothing further to ask.

    ``unrounded`` is the graph before it was quantised or cast, if it was.

    Raises:
        OptimizeError: the metric cannot be had of the original either.
    """
    try:
        model = ServedModel(path, graph_level=graph_level)
    except PenstockError as error:
        return Verified([Gate("structure", "fail", detail=str(error)[:300])], {}, {})
    with model:
        gates = [_structure(model, question)]
        if gates[0].verdict == "fail":
            return Verified(gates, {}, {})
        try:
            got = model.answer(question.inputs)
            gates += invariance_gates(path, model, question.inputs, limits, unrounded)
            if unrounded is not None:
                gates.append(_scale(got, unrounded, question, limits))
        except PenstockError as error:
            gates.append(Gate("evaluation rows", "fail", detail=str(error)[:300]))
            return Verified(gates, {}, {})
        if lossy:
            gates.append(_finite(got, question.answers))
        else:
            gates.append(_parity("parity", got, question.answers, limits))
        if question.edges:
            gates.append(_edges(model, lossy, question, limits))
    metrics: dict[str, dict[str, float]] = {}
    for name in question.metrics:
        gate, figures = _metric(name, got, question, limits)
        gates.append(gate)
        metrics[name] = figures
    return Verified(gates, metrics, _errors(got, question))


def _scale(got: Mapping[str, Array], unrounded: Path, question: Question, limits: Gates) -> Gate:
    some = {name: array[:SCALE_ROWS] for name, array in question.inputs.items()}
    with ServedModel(unrounded) as exact:
        wanted = exact.answer(some)
    mine = {name: array[:SCALE_ROWS] for name, array in got.items()}
    return scale_gate(mine, wanted, limits.max_scale_error)


def _structure(model: ServedModel, question: Question) -> Gate:
    signature = model.signature
    if not signature.batched:
        return Gate("structure", "fail", detail="the first dimension is not the batch")
    named = {spec.name for spec in signature.inputs}
    if named != set(question.inputs):
        return Gate("structure", "fail", detail=f"inputs are {sorted(named)}")
    outputs = {spec.name for spec in signature.outputs}
    if outputs != set(question.answers):
        return Gate("structure", "fail", detail=f"outputs are {sorted(outputs)}")
    return Gate("structure", "pass")


def _parity(
    name: str,
    got: Mapping[str, Array],
    wanted: Mapping[str, Array],
    limits: Gates,
) -> Gate:
    found = compare(got, wanted, limits.atol, limits.rtol)
    rows = len(next(iter(wanted.values())))
    held = found.excess <= 0 and found.flips <= limits.max_flip_rate * rows
    detail = "" if held else f"{found.worst}; {found.flips} of {rows} rows change class"
    return Gate(name, "pass" if held else "fail", limits.atol, found.largest, detail=detail)


def _finite(got: Mapping[str, Array], wanted: Mapping[str, Array]) -> Gate:
    for name, array in wanted.items():
        if array.dtype.kind == "f":
            bad = np.isfinite(array) & ~np.isfinite(got[name].reshape(array.shape))
            if bad.any():
                rows = int(bad.reshape(len(bad), -1).any(axis=1).sum())
                return Gate("finite", "fail", 0, rows, detail=f"{name} is NaN or infinite")
    return Gate("finite", "pass", 0, 0)


def _edges(model: ServedModel, lossy: bool, question: Question, limits: Gates) -> Gate:
    """One row at a time, so that a row which the graph cannot take is named."""
    wanted, labels = question.edge_answers, question.edge_labels
    try:
        got = model.answer(question.edges)
    except PenstockError:
        for index, label in enumerate(labels):
            row = {name: array[index : index + 1] for name, array in question.edges.items()}
            try:
                model.answer(row)
            except PenstockError as error:
                detail = f"{label}: the original answers, the candidate fails: {str(error)[:200]}"
                return Gate("edge rows", "fail", detail=detail)
        return Gate("edge rows", "fail", detail="they fail together, and not one by one")
    spoils = spoils_neighbours(
        model, question.inputs, question.edges, labels, _by_neighbours(lossy, question, limits)
    )
    if spoils:
        return Gate("edge rows", "fail", detail=f"{spoils}; refuse it by inputs.<name>.range")
    if lossy:
        found = _finite(got, wanted)
        return Gate("edge rows", found.verdict, found.limit, found.value, detail=found.detail)
    bad = []
    for index, label in enumerate(labels):
        group = question.groups[index]
        peers = [i for i, other in enumerate(question.groups) if other == group]
        if group < 0:
            peers = [index]
        one = {name: array[index : index + 1] for name, array in got.items()}
        near = [
            compare(
                one,
                {name: array[i : i + 1] for name, array in wanted.items()},
                limits.atol,
                limits.rtol,
            )
            for i in (peers if limits.boundary_ulps else [index])
        ]
        best = min(near, key=lambda found: (found.flips, found.excess))
        if best.excess > 0 or best.flips:
            bad.append((best.largest, label))
    if not bad:
        return Gate("edge rows", "pass", 0, 0, detail=f"{len(labels)} rows")
    bad.sort(reverse=True)
    named = "; ".join(dict.fromkeys(label for _, label in bad[:5]))
    detail = f"{len(bad)} of {len(labels)} differ, by up to {bad[0][0]:.3g}: {named}"
    return Gate("edge rows", "fail", 0, len(bad), detail=detail)


def _by_neighbours(lossy: bool, question: Question, limits: Gates) -> dict[str, float]:
    """How far the rows beside it may move an answer, of each floating-point output."""
    allowed = {}
    for name, array in question.answers.items():
        if array.dtype.kind == "f":
            usual = limits.atol + limits.rtol * float(np.nanmax(np.abs(array), initial=0.0))
            wide = SCALE_SPREAD * spread(array) if lossy else 0.0
            allowed[name] = max(usual, wide) if limits.batch_atol is None else limits.batch_atol
    return allowed


def _metric(
    name: str, got: Mapping[str, Array], question: Question, limits: Gates
) -> tuple[Gate, dict[str, float]]:
    original, candidate = question.answers[question.output], got[question.output]
    drop = metric_drop(
        name,
        _score(name, question, original),
        _score(name, question, candidate),
        len(question.target),
        limits.bootstrap,
        limits.confidence,
    )
    limit = limits.metric_drop(name)
    gate = Gate(
        f"metric {name}",
        "pass" if drop.bound <= limit else "fail",
        limit,
        drop.drop,
        drop.bound,
        f"{drop.original:.5f} → {drop.candidate:.5f}",
    )
    return gate, {"original": drop.original, "candidate": drop.candidate, "drop": drop.drop}


def _score(name: str, question: Question, prediction: Array) -> Score:
    target = question.target
    custom = question.custom.get(name)
    if custom is None:
        return prepare(name, target, prediction)

    def ask(index: Array) -> Any:
        try:
            return custom(target[index], prediction[index])
        except Exception as error:
            raise OptimizeError(
                step="verify",
                problem=f"metric {name} raised {type(error).__name__}: {error}",
                remedy="call it with the target and the prediction by hand",
            ) from error

    whole = np.asarray(ask(np.arange(len(target))), np.float64)
    if whole.shape == (len(target),):
        return lambda weights: float(np.average(whole, weights=weights))

    def score(weights: Array) -> float:
        return float(ask(np.repeat(np.arange(len(target)), weights.astype(np.int64))))

    return score


def _errors(got: Mapping[str, Array], question: Question) -> dict[str, Any]:
    """A histogram of the largest error of each row, and the worst rows with their inputs."""
    wanted = question.answers[question.output]
    error = row_errors(got[question.output].reshape(wanted.shape), wanted)
    of_row = error.reshape(len(error), -1).max(axis=1)
    with np.errstate(divide="ignore"):
        decade = np.clip(np.floor(np.log10(of_row)), -9, 1)
    counts = {f"1e{int(power)}": int((decade == power).sum()) for power in range(-9, 2)}
    worst = np.argsort(-of_row, kind="stable")[:WORST_ROWS]
    rows = [
        {
            "row": int(index),
            "error": float(of_row[index]),
            "original": [float(value) for value in np.ravel(wanted[index])[:4]],
            "candidate": [float(value) for value in np.ravel(got[question.output][index])[:4]],
            "inputs": _shown_inputs(question.inputs, int(index)),
        }
        for index in worst
    ]
    return {"histogram": counts, "worst": rows}


def _as_text(item: bytes | str) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else item


def _shown_inputs(inputs: Mapping[str, Array], row: int) -> dict[str, str]:
    """The beginning of one row, for people: a few inputs, a few numbers or characters of each."""
    shown: dict[str, str] = {}
    for name, array in list(inputs.items())[:SHOWN_INPUTS]:
        values = np.ravel(array[row]).tolist()
        items = [
            f"{item:.6g}" if isinstance(item, bool | int | float) else _as_text(item)
            for item in values[:SHOWN_NUMBERS]
        ]
        shown[name] = ", ".join(items)[:SHOWN_CHARACTERS] + ", …" * (len(values) > SHOWN_NUMBERS)
    if len(inputs) > SHOWN_INPUTS:
        shown["…"] = f"{len(inputs) - SHOWN_INPUTS} more"
    return shown
