"""Rows to learn from, and what the original answers to them; asked once for all students."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optimize.errors import OptimizeError
from optimize.rows import Input, Rows, decode, joined
from optimize.source.load import load_data, load_features
from optimize.source.original import Original, classes_of
from optimize.source.reference import indexed, served_inputs, shaped
from optimize.source.table import rows_of
from serve.repository.golden import read_golden, write_golden
from serve.tensors import Array

__all__ = ["Lessons", "read_lessons", "teach"]

ASKED_ROWS = 4096
ROWS, HARD, ABOUT = "lessons.npz", "hard.npy", "lessons.json"


@dataclass(frozen=True)
class Lessons:
    """Decoded rows by input and the original's answers by output.

    The first ``labelled`` rows have a target in ``hard`` [labelled]; the others were given none.
    ``left_out``: how many rows were not taken because they are in the evaluation set.
    """

    inputs: tuple[Input, ...]
    arrays: dict[str, Array]
    answers: dict[str, Array]
    hard: Array
    left_out: int
    classes: list[Any] | None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def labelled(self) -> int:
        """Rows with a target."""
        return len(self.hard)


def teach(
    model: Any,
    evaluation: Any,
    graph: Path,
    defaults: Mapping[str, Any],
    folder: Path,
    references: Mapping[str, str | None],
    output: Path,
) -> None:
    """Load the training and transfer rows, ask the original, and write all of it to ``output``.

    Args:
        evaluation: the features that candidates are judged on, which no student may learn from.
        references: ``training``, ``transfer`` and ``target`` of ``optimize.data``.

    Raises:
        OptimizeError: the rows are not like the evaluation set's, or the original fails on them.
    """
    inputs = served_inputs(model, evaluation, graph, defaults)
    parts: list[Rows] = []
    hard: Array = np.zeros(0)
    if references["training"]:
        features, target = load_data(folder, references["training"], references["target"] or "")
        parts.append(_like(features, evaluation, inputs, "training"))
        hard = indexed(np.asarray(target), classes_of(model))
        if len(hard) != len(parts[0]):
            raise _wrong("training", f"has {len(parts[0])} rows and a target for {len(hard)}")
    if references["transfer"]:
        features = load_features(folder, references["transfer"])
        parts.append(_like(features, evaluation, inputs, "transfer"))
    rows = joined(parts)
    known = set(_keys(rows_of(evaluation, inputs)))
    kept = np.array([key not in known for key in _keys(rows)], np.bool_)
    if not kept.any():
        raise _wrong(
            "training" if references["training"] else "transfer",
            f"has {len(rows)} rows, none of which is not in the evaluation set",
        )
    hard = hard[kept[: len(hard)]]
    rows = rows.take(np.flatnonzero(kept))
    answers = _answers(Original(model, inputs, evaluation), rows, graph)
    write_golden(output / ROWS, decode(rows, inputs), answers)
    np.save(output / HARD, hard, allow_pickle=False)
    about = {
        "inputs": [spec.as_json() for spec in inputs],
        "left_out": int((~kept).sum()),
        "classes": classes_of(model),
    }
    (output / ABOUT).write_text(json.dumps(about, indent=1))


def read_lessons(folder: Path) -> Lessons:
    """What ``teach`` wrote."""
    arrays, answers = read_golden(folder / ROWS)
    about = json.loads((folder / ABOUT).read_text())
    inputs = tuple(
        Input(each["name"], each["datatype"], tuple(each["shape"])) for each in about["inputs"]
    )
    hard = np.load(folder / HARD, allow_pickle=False)
    return Lessons(inputs, arrays, answers, hard, about["left_out"], about["classes"])


def _answers(original: Original, rows: Rows, graph: Path) -> dict[str, Array]:
    shapes = _output_shapes(graph)
    # Texts of like length together: a network pads each to the longest beside it.
    order = np.argsort(_lengths(rows), kind="stable")
    rows = rows.take(order)
    found: list[dict[str, Array]] = []
    for start in range(0, len(rows), ASKED_ROWS):
        few = rows.take(slice(start, start + ASKED_ROWS))
        try:
            found.append(shaped(original.answer(few), shapes, len(few)))
        except OptimizeError:
            raise
        except Exception as error:
            raise OptimizeError(
                step="teach",
                problem=f"the original failed on the transfer rows:"
                f" {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                remedy="ask it such rows by hand; students learn from rows that it answers",
            ) from error
        print(f"asked {start + len(few)} of {len(rows)} rows", flush=True)  # noqa: T201 - log.txt
    back = np.argsort(order, kind="stable")
    return {name: np.concatenate([part[name] for part in found])[back] for name in found[0]}


def _lengths(rows: Rows) -> Array:
    """Bytes of text in each row."""
    total = np.zeros(len(rows), np.int64)
    for array in rows.arrays.values():
        if array.dtype == object:
            total += [sum(map(len, row)) for row in array.reshape(len(rows), -1)]
    return total


def _output_shapes(graph: Path) -> dict[str, tuple[int, ...]]:
    from optimize.session import ServedModel

    with ServedModel(graph) as served:
        return {spec.name: spec.shape for spec in served.signature.outputs}


def _like(features: Any, evaluation: Any, inputs: Sequence[Input], which: str) -> Rows:
    """The rows, if they have what the evaluation set has."""
    if isinstance(evaluation, np.ndarray):
        shape = tuple(np.shape(features))
        if not isinstance(features, np.ndarray) or shape[1:] != evaluation.shape[1:]:
            raise _wrong(
                which, f"has shape {list(shape)}, and the evaluation set {list(evaluation.shape)}"
            )
    else:
        lacking = [spec.name for spec in inputs if spec.name not in features]
        if lacking:
            raise _wrong(which, f"has no column {', '.join(lacking)}")
    try:
        rows = rows_of(features, inputs)
    except (TypeError, ValueError) as error:
        raise _wrong(which, f"is not like the evaluation set: {error}") from error
    if not len(rows):
        raise _wrong(which, "is empty")
    return rows


def _keys(rows: Rows) -> list[bytes]:
    """A hash of each row."""
    total = [hashlib.sha256() for _ in range(len(rows))]
    for array in rows.arrays.values():
        for row, state in zip(array, total, strict=True):
            if array.dtype == object:
                state.update(b"\0".join(np.ravel(row).tolist()))
            else:
                state.update(np.ascontiguousarray(row).tobytes())
            state.update(b"\1")
    return [state.digest() for state in total]


def _wrong(which: str, problem: str) -> OptimizeError:
    return OptimizeError(
        step="teach",
        problem=f"optimize.data.{which} {problem}",
        remedy="give it rows with the evaluation set's columns that are not in that set",
    )
