"""A student as one graph with the served signature: preparation, network, answer, what follows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from optimize.convert.graph import finish
from optimize.convert.torch_module import export_program, write_onnx
from optimize.distil.answer import Served
from optimize.distil.prepare import Prepare
from optimize.distil.prepared_graph import PREPARED, prepared_graph
from optimize.rows import Input
from optimize.source.network import Network

__all__ = ["write_student"]

PREFIX = "student_"


def write_student(
    student: Served,
    prepare: Prepare,
    inputs: Sequence[Input],
    export: Any,
    judged: str,
    follow: Any,
    target: Path,
) -> None:
    """Write the graph: the export's inputs and outputs, in its order, answered by the student."""
    network = Network(student.eval(), (judged,))
    example = {"features": np.zeros((4, prepare.width), np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "student.onnx"
        write_onnx(network, export_program(network, example), alone)
        model = onnx.load(alone)
    model = onnx.compose.add_prefix(
        model, PREFIX, rename_inputs=True, rename_outputs=False, rename_functions=False
    )
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    before = prepared_graph(prepare, inputs, opset)
    graph = model.graph
    taken = graph.input[0].name
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = PREPARED if name == taken else name
    nodes = [*before.graph.node, *graph.node, *(follow.graph.node if follow else ())]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.extend(before.graph.input)
    graph.output.extend(export.graph.output)
    graph.initializer.extend(before.graph.initializer)
    known = {each.domain for each in model.opset_import}
    model.opset_import.extend(each for each in before.opset_import if each.domain not in known)
    if follow is not None:
        graph.initializer.extend(follow.graph.initializer)
        known = {each.domain for each in model.opset_import}
        model.opset_import.extend(each for each in follow.opset_import if each.domain not in known)
    target.write_bytes(finish(model))
