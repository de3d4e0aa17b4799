"""The outputs besides the judged one, which a student does not learn: they follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from optimize.errors import OptimizeError
from serve.tensors import Array

__all__ = ["following"]

AGREE = 0.999
"""Share of rows whose other outputs must be what is calculated for them: not all, because rounding
decides where two classes are all but level."""
PREFIX = "follow_"


def following(
    export: Any, judged: str, answers: Mapping[str, Array], classes: Sequence[Any] | None
) -> Any:
    """A graph from the judged output to all others; None if there are none.

    It is what the export itself calculates from the judged output, or, where the two come from one
    operator, the class of the highest probability.

    Args:
        export: the model of which the student takes the place.
        answers: of the original to some rows, by output name; the graph is held against them.
        classes: in the order of the probabilities, where the model knows them.

    Raises:
        OptimizeError: an output does not follow from the judged one.
    """
    others = [value for value in export.graph.output if value.name != judged]
    if not others:
        return None
    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    for value in others:
        found = _cut(export.graph, judged, value.name)
        if found is None:
            found = _highest(judged, value.name, answers, classes)
        nodes += [node for node in found[0] if node not in nodes]
        constants |= {each.name: each for each in found[1]}
    start = next(value for value in export.graph.output if value.name == judged)
    graph = helper.make_graph(nodes, "follow", [start], others, list(constants.values()))
    model = helper.make_model(
        graph, opset_imports=list(export.opset_import), ir_version=export.ir_version
    )
    _hold(model, judged, answers)
    return model


def _cut(graph: Any, judged: str, output: str) -> tuple[list[Any], list[Any]] | None:
    """The nodes and constants between two tensors of a graph; None where it needs more."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    constants = {each.name: each for each in graph.initializer}
    needed, seen = [output], {judged, ""}
    kept: set[int] = set()
    used: list[Any] = []
    while needed:
        name = needed.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in constants:
            used.append(constants[name])
        elif name in makers:
            node = graph.node[makers[name]]
            if any(each.HasField("g") for each in node.attribute):
                return None
            kept.add(makers[name])
            needed += node.input
        else:
            return None
    found = [graph.node[index] for index in sorted(kept)]
    return (found, used) if any(judged in node.input for node in found) else None


def _highest(
    judged: str, output: str, answers: Mapping[str, Array], classes: Sequence[Any] | None
) -> tuple[list[Any], list[Any]]:
    """Nodes that name the class of the highest probability."""
    wanted, probabilities = answers[output], answers[judged]
    if probabilities.ndim != 2 or probabilities.shape[1] < 2 or wanted.dtype.kind == "f":
        raise _does_not_follow(output, judged)
    chosen = probabilities.argmax(axis=1)
    text = wanted.dtype.kind in "OUS"
    names: list[Any] = list(range(probabilities.shape[1])) if classes is None else list(classes)
    for index in np.unique(chosen):
        seen = wanted.ravel()[chosen == index].tolist()
        names[int(index)] = max(set(seen), key=seen.count)
    values = np.array([_text(name) for name in names], object) if text else np.array(names, int)
    row = [1] * (wanted.ndim - 1)
    made = [
        helper.make_node("ArgMax", [judged], [f"{PREFIX}{output}_at"], axis=1, keepdims=0),
        helper.make_node(
            "Gather", [f"{PREFIX}{output}_names", f"{PREFIX}{output}_at"], [f"{PREFIX}{output}"]
        ),
        helper.make_node("Reshape", [f"{PREFIX}{output}", f"{PREFIX}{output}_shape"], [output]),
    ]
    return made, [
        onnx.numpy_helper.from_array(values, f"{PREFIX}{output}_names"),
        onnx.numpy_helper.from_array(np.array([-1, *row], np.int64), f"{PREFIX}{output}_shape"),
    ]


def _hold(model: Any, judged: str, answers: Mapping[str, Array]) -> None:
    """Whether the graph gives the original's other outputs for its judged one."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    given = answers[judged].astype(np.float32)
    for name, got in zip(names, session.run(names, {judged: given}), strict=True):
        wanted = answers[name].reshape(got.shape)
        if wanted.dtype.kind == "f":
            same = np.isclose(got, wanted, atol=1e-4, rtol=1e-3)
        else:
            same = np.array(
                [
                    _text(one) == _text(two)
                    for one, two in zip(got.ravel(), wanted.ravel(), strict=True)
                ]
            )
        if same.mean() < AGREE:
            raise _does_not_follow(name, judged)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _does_not_follow(output: str, judged: str) -> OptimizeError:
    return OptimizeError(
        step="distil",
        problem=f"output {output!r} does not follow from {judged!r}, the one that a student learns",
        remedy="leave it out of the original's graph, or name another output in optimize.output",
    )
