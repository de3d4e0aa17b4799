"""The layers of a graph that can be quantised, by the names that ``keep`` goes by."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from optimize.errors import OptimizeError

__all__ = [
    "AUTO",
    "EMBEDDINGS",
    "WEIGHTED",
    "kept_layers",
    "prepare",
    "standard_attention",
    "with_parts",
    "with_weights",
]

WEIGHTED = ("MatMul", "Gemm", "Conv", "Attention")
EMBEDDINGS = ("Gather", "EmbedLayerNormalization")
AUTO = "auto"


def prepare(source: Path, folder: Path) -> Path:
    """The graph with its shapes inferred, and a name for every node, by which it can be kept."""
    import onnx
    from onnxruntime.quantization import shape_inference

    target = folder / "prepared.onnx"
    shape_inference.quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
    model = onnx.load(target)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    onnx.save(model, target)
    return target


def with_weights(path: Path, also: Sequence[str] = ()) -> list[str]:
    """Names of the layers that multiply by weights, in order; of operators ``also`` too."""
    import onnx

    graph = onnx.load(path).graph
    weights = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1
    }
    kinds = {*WEIGHTED, *also}
    return [node.name for node in graph.node if node.op_type in kinds and weights & set(node.input)]


def kept_layers(path: Path, keep: Sequence[str]) -> list[str]:
    """Names of the layers that stay in FP32; ``auto`` is left to whoever measures it.

    Raises:
        OptimizeError: a pattern fits no layer, which would quietly quantise everything.
    """
    import onnx

    weighted = with_weights(path)
    kinds = {*WEIGHTED, *EMBEDDINGS}
    names = [node.name for node in onnx.load(path).graph.node if node.op_type in kinds]
    kept: list[str] = []
    for pattern in keep:
        if pattern == AUTO:
            continue
        if pattern in ("first", "last"):
            found = weighted[:1] if pattern == "first" else weighted[-1:]
        else:
            found = fnmatch.filter(names, pattern)
        if not found:
            raise OptimizeError(
                step="quantize",
                problem=f"keep: no layer is named like {pattern!r}",
                remedy=f"the layers are: {', '.join(names[:12])}",
            )
        kept += found
    return kept


def standard_attention(path: Path) -> list[str]:
    """Names of the ONNX standard's own Attention nodes, which have no weights.

    The quantiser takes them for the runtime's operator of that name, which has, and writes a graph
    that cannot be loaded.
    """
    import onnx

    return [
        node.name
        for node in onnx.load(path, load_external_data=False).graph.node
        if node.op_type == "Attention" and not node.domain
    ]


def with_parts(names: Sequence[str]) -> list[str]:
    """The same with what the quantiser calls the parts of a Gemm, which it splits first."""
    return [*names, *(f"{name}_MatMul" for name in names)]
