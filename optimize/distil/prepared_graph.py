"""The preparation of a student's inputs as ONNX nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from optimize.convert.graph import BATCH, IR_VERSION, ML_OPSET
from optimize.distil.prepare import Prepare
from optimize.rows import Input
from serve.tensors import Array

__all__ = ["PREPARED", "prepared_graph"]

PREPARED = "prepared"
"""The matrix [batch, width] that the student takes."""

ELEMENTS = {
    "FP32": onnx.TensorProto.FLOAT,
    "FP64": onnx.TensorProto.DOUBLE,
    "INT8": onnx.TensorProto.INT8,
    "INT16": onnx.TensorProto.INT16,
    "INT32": onnx.TensorProto.INT32,
    "INT64": onnx.TensorProto.INT64,
    "UINT8": onnx.TensorProto.UINT8,
    "BOOL": onnx.TensorProto.BOOL,
    "BYTES": onnx.TensorProto.STRING,
}


class _Nodes:
    """Nodes and constants as they are added, each result under a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one result; the name of the result."""
        name = f"{PREPARED}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def constant(self, array: Array) -> str:
        """An initializer; its name."""
        name = f"{PREPARED}_constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(array), name))
        return name


def prepared_graph(prepare: Prepare, inputs: Sequence[Input], opset: int) -> Any:
    """A model from the served inputs to ``prepared``, [batch, width] FP32."""
    build = _Nodes()
    parts = _numbers(build, prepare, inputs) if prepare.numbers else []
    if prepare.words:
        parts.append(_words(build, prepare))
    if len(parts) > 1:
        build.add("Concat", *parts, axis=1)
    build.nodes[-1].output[0] = PREPARED
    graph = helper.make_graph(
        build.nodes,
        "prepare",
        [
            helper.make_tensor_value_info(
                spec.name,
                ELEMENTS[spec.datatype],
                [BATCH, *(size if size >= 0 else None for size in spec.shape[1:])],
            )
            for spec in inputs
        ],
        [helper.make_tensor_value_info(PREPARED, onnx.TensorProto.FLOAT, [BATCH, prepare.width])],
        build.constants,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _numbers(build: _Nodes, prepare: Prepare, inputs: Sequence[Input]) -> list[str]:
    specs = {spec.name: spec for spec in inputs}
    columns = []
    for name in prepare.numbers:
        column = name
        if specs[name].datatype != "FP32":
            column = build.add("Cast", column, to=onnx.TensorProto.FLOAT)
        if len(specs[name].shape) != 2:
            column = build.add("Flatten", column, axis=1)
        columns.append(column)
    raw = build.add("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]
    gap = build.add("IsNaN", raw)
    pieces = build.add("Where", gap, build.constant(prepare.fill[None]), raw)
    if not np.array_equal(prepare.column, np.arange(len(prepare.fill))):
        pieces = build.add("Gather", pieces, build.constant(prepare.column), axis=1)
    pieces = build.add("Sub", pieces, build.constant(prepare.low))
    pieces = build.add("Mul", pieces, build.constant(prepare.slope))
    zero, one = (build.constant(np.array(end, np.float32)) for end in (0, 1))
    parts = [build.add("Clip", pieces, zero, one)]
    if len(prepare.gaps):
        marked = build.add("Gather", gap, build.constant(prepare.gaps), axis=1)
        parts.append(build.add("Cast", marked, to=onnx.TensorProto.FLOAT))
    return parts


def _words(build: _Nodes, prepare: Prepare) -> str:
    several = len(prepare.words) > 1
    words = build.add("Concat", *prepare.words, axis=1) if several else prepare.words[0]
    known = build.add(
        "LabelEncoder",
        words,
        domain="ai.onnx.ml",
        keys_strings=list(prepare.vocabulary),
        values_int64s=list(range(1, len(prepare.vocabulary) + 1)),
        default_int64=0,
    )
    if several:
        known = build.add("Add", known, build.constant(prepare.offsets[None]))
    bits = build.add("Gather", build.constant(prepare.codes), known, axis=0)
    axes = build.constant(np.array([1], np.int64))
    return build.add("ReduceSum", bits, axes, keepdims=0)
