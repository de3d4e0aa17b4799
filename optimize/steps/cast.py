"""``cast``: weights, or the whole computation, in a 16-bit floating-point type."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from optimize.errors import OptimizeError
from optimize.steps.base import Context, Step

__all__ = ["Cast"]

HOLDERS = ("MatMul", "Gemm", "Conv", "ConvTranspose", "Gather", "Attention", "MultiHeadAttention")
"""Operators whose weights are worth storing in half the bytes."""
MIN_ELEMENTS = 64
"""A smaller tensor (a bias, a constant) saves nothing."""
LARGEST_FP16 = 65504.0


class Cast(Step):
    """FP16 or BF16 inside; inputs and outputs stay what they are.

    On a CPU this is a smaller file at equal speed. A weight beyond what FP16 holds stays FP32.
    """

    kind: ClassVar[str] = "cast"
    lossy: ClassVar[bool] = True
    rounds: ClassVar[bool] = True

    precision: Literal["fp16", "bf16"] = Field("fp16", description="The 16-bit type.")
    compute: bool = Field(
        False,
        description="Compute in it too, as a GPU does. Otherwise weights are stored in it, and"
        " widened to FP32 once, when the model is loaded.",
    )
    block: tuple[str, ...] = Field(
        (), description="Operators that keep FP32 weights and, with `compute`, inputs."
    )

    def not_applicable(self, ops: dict[str, int]) -> str:
        """See ``Step``."""
        if any(ops.get(kind) for kind in HOLDERS if kind not in self.block):
            return ""
        return f"the graph has no {', '.join(HOLDERS[:-1])} with weights to store in fewer bytes"

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        import onnx

        model = onnx.load(source)
        if self.compute:
            model = _computing(model, self.precision, self.block)
        elif not _store_weights(model.graph, self.precision, self.block):
            raise OptimizeError(
                step=self.kind,
                problem=f"no weight of {MIN_ELEMENTS} or more FP32 numbers was found"
                f" that {self.precision} holds",
                remedy="leave `cast` out of optimize.steps",
            )
        onnx.save(model, target)
        if self.compute:
            _loads(target, self.precision)


def _store_weights(graph: Any, precision: str, block: tuple[str, ...]) -> int:
    """Replace weights by 16-bit ones that a Cast widens; how many there were."""
    from onnx import TensorProto, helper, numpy_helper

    users = _users(graph)
    widened = []
    for tensor in graph.initializer:
        using = users.get(tensor.name, set())
        if tensor.data_type != TensorProto.FLOAT or not using & set(HOLDERS) or using & set(block):
            continue
        array = numpy_helper.to_array(tensor)
        if array.size < MIN_ELEMENTS or (precision == "fp16" and _beyond_fp16(array)):
            continue
        name = tensor.name
        tensor.CopyFrom(_tensor(array, f"{name}_{precision}", precision))
        widened.append(
            helper.make_node(
                "Cast", [tensor.name], [name], name=f"widen_{name}", to=TensorProto.FLOAT
            )
        )
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return len(widened)


def _users(graph: Any) -> dict[str, set[str]]:
    """Which operators read a tensor, by its name."""
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    return users


def _beyond_fp16(array: Any) -> bool:
    return bool(np.any(np.abs(array) > LARGEST_FP16))


def _tensor(array: Any, name: str, precision: str) -> Any:
    import ml_dtypes
    from onnx import numpy_helper

    dtype = np.float16 if precision == "fp16" else ml_dtypes.bfloat16
    return numpy_helper.from_array(array.astype(dtype), name)


def _computing(model: Any, precision: str, block: tuple[str, ...]) -> Any:
    """The graph with all but its ends, and the blocked operators, in 16 bits."""
    from onnx import TensorProto, numpy_helper
    from onnxruntime.transformers.float16 import (
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )

    weights = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }
    blocked = {*DEFAULT_OP_BLOCK_LIST, *block}
    if precision == "fp16":
        users = _users(model.graph)
        beyond = [
            name
            for name, array in weights.items()
            if users.get(name, set()) - blocked and _beyond_fp16(array)
        ]
        if beyond:
            raise OptimizeError(
                step="cast",
                problem=f"{beyond[0]} has numbers beyond {LARGEST_FP16:g}, which FP16 cannot hold",
                remedy="use precision: bf16, or name the operator that uses it in block",
            )
    with warnings.catch_warnings():
        # It warns of each number too small for FP16; the metric decides whether that matters.
        warnings.simplefilter("ignore")
        made = convert_float_to_float16(model, keep_io_types=True, op_block_list=sorted(blocked))
    if precision == "bf16":
        _fp16_to_bf16(made.graph, weights)
    return made


def _fp16_to_bf16(graph: Any, weights: dict[str, Any]) -> None:
    """What the converter made FP16 as BF16, weights from their FP32 numbers."""
    from onnx import AttributeProto, TensorProto, numpy_helper

    half, brain = TensorProto.FLOAT16, TensorProto.BFLOAT16
    for value in graph.value_info:
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = brain
    for tensor in graph.initializer:
        if tensor.data_type == half:
            array = weights.get(tensor.name, numpy_helper.to_array(tensor))
            tensor.CopyFrom(_tensor(np.asarray(array, np.float32), tensor.name, "bf16"))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == half:
                attribute.i = brain
            elif attribute.type == AttributeProto.TENSOR and attribute.t.data_type == half:
                array = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(_tensor(array, attribute.t.name, "bf16"))
            elif attribute.type == AttributeProto.GRAPH:
                _fp16_to_bf16(attribute.g, weights)


def _loads(path: Path, precision: str) -> None:
    """Find out whether the installed runtime has kernels for it.

    Raises:
        OptimizeError: it has not.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    providers = onnxruntime.get_available_providers()
    wanted = [name for name in providers if name in ("CUDAExecutionProvider",)]
    try:
        onnxruntime.InferenceSession(str(path), options, [*wanted, "CPUExecutionProvider"])
    except Exception as error:
        raise OptimizeError(
            step="cast",
            problem=f"the installed onnxruntime cannot compute this graph in {precision}:"
            f" {' '.join(str(error).split())[:200]}",
            remedy="leave `compute` out, name the operator in block, or run on a device that has"
            " such kernels",
        ) from error
