"""What every converted graph is given: a named batch dimension, and nothing unused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx

__all__ = ["IR_VERSION", "ML_OPSET", "OPSET", "finish", "finish_file", "rename_outputs"]

OPSET = 18
ML_OPSET = 3
# What runtimes of the last two years read; the onnx package's own default is often too new.
IR_VERSION = 9
# The first that operators since opset 21 may be in.
IR_VERSION_OPSET_21 = 10
BATCH = "batch"


def finish(model: Any) -> bytes:
    """The bytes of a checked graph whose inputs and outputs all begin with the batch."""
    _tidy(model)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def finish_file(path: Path) -> None:
    """The same of a file whose weights lie beside it, and stay there."""
    model = onnx.load(path, load_external_data=False)
    _tidy(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(path)


def _tidy(model: Any) -> None:
    graph = model.graph
    prune(graph)
    for value in (*graph.input, *graph.output):
        shape = value.type.tensor_type.shape
        if not shape.dim:
            raise ValueError(f"{value.name!r} has no rows: its shape is unknown")
        shape.dim[0].Clear()
        shape.dim[0].dim_param = BATCH
    # The converter's guesses about inner tensors are not needed, and may contradict the names.
    del graph.value_info[:]
    opset = max((each.version for each in model.opset_import if not each.domain), default=0)
    newest = IR_VERSION_OPSET_21 if opset >= 21 else IR_VERSION
    model.ir_version = min(model.ir_version, newest)


def prune(graph: Any) -> None:
    """Drop what no output needs."""
    needed = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(_uses(node))
    for constant in list(graph.initializer):
        if constant.name not in needed:
            graph.initializer.remove(constant)


def rename_outputs(model: Any, names: Mapping[str, str]) -> None:
    """Give outputs other names, everywhere they are used."""
    for node in model.graph.node:
        for side in (node.input, node.output):
            for index, name in enumerate(side):
                if name in names:
                    side[index] = names[name]
    for output in model.graph.output:
        output.name = names.get(output.name, output.name)


def _uses(node: Any) -> Iterable[str]:
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _uses(inner)
            yield from (output.name for output in graph.output)
