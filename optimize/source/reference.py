"""What the original answers: the truth that candidates are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optimize.artefact import exported_signature
from optimize.asked import Asked
from optimize.errors import OptimizeError
from optimize.rows import Input, Rows, decode, joined
from optimize.session import ServedModel
from optimize.source.network import Network
from optimize.source.original import Original, classes_of, own_graph
from optimize.source.table import inputs_of, rows_of
from optimize.verify.edge_rows import Range, answered, boundary_rows, edge_rows
from serve.tensors import Array

__all__ = ["Reference", "indexed", "make_reference", "served_inputs", "shaped"]

BOUNDARY_BASES = 256


@dataclass(frozen=True)
class Reference(Asked):
    """With the served inputs, and what null stands for; ``refused`` edge rows had no answer."""

    signature: tuple[Input, ...]
    refused: int


def served_inputs(
    model: Any, features: Any, graph: Path, defaults: Mapping[str, Any]
) -> tuple[Input, ...]:
    """The inputs of the exported graph; a default of model.yaml stands for null, as served."""
    if own_graph(model) is None:
        inputs = inputs_of(model, features)
    else:
        with ServedModel(graph) as served:
            inputs = tuple(
                Input(
                    spec.name,
                    spec.datatype,
                    spec.shape,
                    "" if spec.datatype == "BYTES" else _nan(spec.datatype),
                    "",
                )
                for spec in served.signature.inputs
            )
    return tuple(replace(spec, missing=defaults.get(spec.name, spec.missing)) for spec in inputs)


def make_reference(
    model: Any,
    features: Any,
    target: Array,
    graph: Path,
    defaults: Mapping[str, Any],
    ranges: Mapping[str, Range],
    boundary_ulps: int,
) -> Reference:
    """Ask the original everything.

    Raises:
        OptimizeError: it has no answer to its own evaluation rows, or not the graph's outputs.
    """
    inputs = served_inputs(model, features, graph, defaults)
    rows = rows_of(features, inputs)
    original = Original(model, inputs, features)
    shapes = _output_shapes(graph)

    def answer(some: Rows) -> dict[str, Array]:
        return shaped(original.answer(some), shapes, len(some))

    def answer_number(some: Rows) -> dict[str, Array]:
        return _finite(answer(some), "an edge row")

    answers = answer(rows)
    smooth = isinstance(model, Network)
    if smooth:
        _finite(answers, "the evaluation data")
    few = rows.take(slice(0, BOUNDARY_BASES))
    hard, labels = edge_rows(few, inputs, ranges)
    groups = [-1] * len(labels)
    try:
        # A network has no thresholds to search for.
        near, near_labels, near_groups = (
            (None, [], []) if smooth else boundary_rows(answer, few, inputs, boundary_ulps)
        )
    except Exception as error:
        raise OptimizeError(
            step="reference",
            problem=f"the original failed on values between those of real rows: {error}",
            remedy="make it answer any number, or set a range for the input in model.yaml",
        ) from error
    if near is not None:
        hard = joined([hard, near])
        labels, groups = labels + near_labels, groups + near_groups
    edge_answers, kept = answered(answer_number if smooth else answer, hard)
    dropped = set(range(len(labels))) - set(kept)
    inputs = tuple(_without_gap(spec, labels, kept) for spec in inputs)
    edges = decode(hard.take(np.array(kept, np.int64)), inputs) if kept else {}
    return Reference(
        decode(rows, inputs),
        answers,
        indexed(target, classes_of(model)),
        edges,
        edge_answers,
        [labels[index] for index in kept],
        [groups[index] for index in kept],
        inputs,
        len(dropped),
    )


def _output_shapes(graph: Path) -> dict[str, tuple[int, ...]]:
    """Of the graph, or where ONNX cannot express it, of the program that it would be made of."""
    program = None if graph.is_file() else exported_signature(graph.parent)
    if program is None:
        with ServedModel(graph) as served:
            return {spec.name: spec.shape for spec in served.signature.outputs}
    return {
        tensor.name: tuple(-1 if isinstance(size, str) else size for size in tensor.shape)
        for tensor in program.outputs
    }


def _finite(answers: dict[str, Array], rows: str) -> dict[str, Array]:
    """A network's NaN is no answer: it says only that some number on the way was too large."""
    for name, array in answers.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise OptimizeError(
                step="reference",
                problem=f"output {name!r} of the original is NaN or infinite on {rows}",
                remedy="look for missing or huge values in the data, or for a model that diverged",
            )
    return answers


def _nan(datatype: str) -> float | None:
    return float("nan") if datatype in ("FP32", "FP64") else None


def _without_gap(spec: Input, labels: list[str], kept: list[int]) -> Input:
    """An input that the original never answers a null of takes none from clients either."""
    mine = {
        index
        for index, label in enumerate(labels)
        if label == f"{spec.name} is null"
        or (label.startswith(f"{spec.name}[") and label.endswith("is null"))
    }
    return replace(spec, missing=None) if mine and mine.isdisjoint(kept) else spec


def shaped(
    answers: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], rows: int
) -> dict[str, Array]:
    """The answers to the graph's outputs, in the graph's shapes; words as ``bytes``."""
    shaped: dict[str, Array] = {}
    for name, shape in shapes.items():
        if name not in answers:
            raise OptimizeError(
                step="reference",
                problem=f"the original gives no output {name!r}, which the graph has",
                remedy=f"let `predict` return it; it returns: {', '.join(answers)}",
            )
        array = answers[name].reshape(rows, *shape[1:])
        if array.dtype.kind in "OUS":
            words = np.empty(array.size, object)
            words[:] = [
                str(item).encode() if not isinstance(item, bytes) else item
                for item in array.ravel().tolist()
            ]
            array = words.reshape(array.shape)
        elif array.dtype.kind in "iub":
            array = array.astype(np.int64)
        shaped[name] = array
    return shaped


def indexed(target: Array, classes: list[Any] | None) -> Array:
    """The target as numbers: of a classifier, the index of each row's class.

    Raises:
        OptimizeError: it has a class that the model does not know.
    """
    if classes is None:
        if target.dtype.kind in "OUS":
            raise OptimizeError(
                step="reference",
                problem="the target is text, and the model knows no classes",
                remedy="give numbers, or return `classes` with the model",
            )
        return target
    places = {item: index for index, item in enumerate(classes)}
    try:
        return np.array([places[item] for item in target.tolist()], np.int64)
    except KeyError as error:
        raise OptimizeError(
            step="reference",
            problem=f"the target has a class {error} that the model does not know",
            remedy=f"its classes are: {', '.join(map(str, classes[:10]))}",
        ) from error
