"""A dynamically quantised graph with its scales held still.

Dynamic quantisation takes the scale of an activation from all rows of a batch, so a row's answer
moves a little with its neighbours. With every scale fixed, nothing may be left that depends on
them: what still does is a fault, however small.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optimize.session import ServedModel
from serve.tensors import Array

__all__ = ["freeze_scales", "takes_scales_from_batch"]

LOWEST, HIGHEST = "penstock_lowest_{}", "penstock_highest_{}"
MICROSOFT = "com.microsoft"


def takes_scales_from_batch(path: Path) -> bool:
    """Whether a graph quantises activations by the range that a batch has."""
    import onnx

    return any(_is_dynamic(node) for node in onnx.load(path, load_external_data=False).graph.node)


def freeze_scales(path: Path, folder: Path, arrays: Mapping[str, Array]) -> Path | None:
    """The graph with the scales that ``arrays``, as one batch, give it; written into ``folder``.

    None where an operator quantises inside, and its scale cannot be held from outside.
    """
    import onnx

    nodes = onnx.load(path).graph.node
    if any(_is_dynamic(node) and node.op_type not in FROZEN for node in nodes):
        return None
    for beside in path.parent.iterdir():  # weights and tokenizer, which the backend looks for
        if beside.is_file() and beside != path:
            shutil.copyfile(beside, folder / beside.name)
    ranges = _ranges(path, folder / path.name, arrays)
    model = onnx.load(path)
    frozen = []
    for node in model.graph.node:
        if _is_dynamic(node):
            scale, zero = _scale(*ranges[node.input[0]])
            frozen += FROZEN[node.op_type](node, model.graph, scale, zero)
        else:
            frozen.append(node)
    del model.graph.node[:]
    model.graph.node.extend(frozen)
    onnx.save(model, folder / path.name)
    return folder / path.name


def _is_dynamic(node: Any) -> bool:
    return str(node.op_type).startswith("DynamicQuantize")


def _ranges(
    path: Path, target: Path, arrays: Mapping[str, Array]
) -> dict[str, tuple[float, float]]:
    """The least and the greatest number of each tensor that is quantised, for one batch of rows.

    They are further outputs of the graph, repeated for each row, as the server wants outputs.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(path)
    graph = model.graph
    names = list(dict.fromkeys(node.input[0] for node in graph.node if _is_dynamic(node)))
    weights = {tensor.name for tensor in graph.initializer}
    first = next(value.name for value in graph.input if value.name not in weights)
    graph.initializer.append(helper.make_tensor("penstock_zero", TensorProto.INT64, [1], [0]))
    graph.node.append(helper.make_node("Shape", [first], ["penstock_shape"]))
    graph.node.append(
        helper.make_node("Gather", ["penstock_shape", "penstock_zero"], ["penstock_rows"])
    )
    for index, name in enumerate(names):
        for operator, template in (("ReduceMin", LOWEST), ("ReduceMax", HIGHEST)):
            output = template.format(index)
            graph.node.append(helper.make_node(operator, [name], [f"{output}_of_all"], keepdims=0))
            graph.node.append(
                helper.make_node("Expand", [f"{output}_of_all", "penstock_rows"], [output])
            )
            graph.output.append(
                helper.make_tensor_value_info(output, TensorProto.FLOAT, [_batch_name(graph)])
            )
    onnx.save(model, target)
    with ServedModel(target) as served:
        found = served.answer(arrays, batch_rows=len(next(iter(arrays.values()))))
    return {
        name: (
            float(found[LOWEST.format(index)].min()),
            float(found[HIGHEST.format(index)].max()),
        )
        for index, name in enumerate(names)
    }


def _batch_name(graph: Any) -> str:
    """What the graph calls its first dimension."""
    return graph.output[0].type.tensor_type.shape.dim[0].dim_param or "batch"


def _scale(lowest: float, highest: float) -> tuple[float, int]:
    """As DynamicQuantizeLinear is specified: the range has zero in it, in 255 steps."""
    lowest, highest = min(lowest, 0.0), max(highest, 0.0)
    scale = (highest - lowest) / 255 or 1.0
    return scale, int(np.clip(np.rint(-lowest / scale), 0, 255))


def _linear(node: Any, graph: Any, scale: float, zero: int) -> list[Any]:
    from onnx import helper

    values, scale_name, zero_name = node.output
    _constants(graph, scale_name, scale, zero_name, zero)
    return [helper.make_node("QuantizeLinear", [node.input[0], scale_name, zero_name], [values])]


def _matmul(node: Any, graph: Any, scale: float, zero: int) -> list[Any]:
    """ONNX Runtime's own fusion of the quantisation with the product."""
    from onnx import helper

    left, right, right_scale, right_zero, bias = [*node.input, "", "", ""][:5]
    name = node.output[0]
    scale_name, zero_name, values = f"{name}_scale", f"{name}_zero", f"{name}_quantised"
    _constants(graph, scale_name, scale, zero_name, zero)
    inputs = [values, right, scale_name, right_scale, zero_name, right_zero, bias]
    return [
        helper.make_node("QuantizeLinear", [left, scale_name, zero_name], [values]),
        helper.make_node("MatMulIntegerToFloat", inputs, [name], domain=MICROSOFT),
    ]


def _constants(graph: Any, scale_name: str, scale: float, zero_name: str, zero: int) -> None:
    from onnx import TensorProto, helper

    graph.initializer.append(helper.make_tensor(scale_name, TensorProto.FLOAT, [], [scale]))
    graph.initializer.append(helper.make_tensor(zero_name, TensorProto.UINT8, [], [zero]))


FROZEN = {"DynamicQuantizeLinear": _linear, "DynamicQuantizeMatMul": _matmul}
"""How the operators that take a scale from the batch are written with one that is given."""
