"""``quantize-dynamic`` and ``quantize-static``: int8 weights, and activations too."""

from __future__ import annotations

import fnmatch
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from optimize.errors import OptimizeError
from optimize.steps.base import Context, Step

__all__ = ["QuantizeDynamic", "QuantizeStatic"]

WEIGHTED = ("MatMul", "Gemm", "Conv", "Attention")

Keep = Field(
    (),
    description="Layers left in FP32: `first`, `last`, or patterns of node names such as"
    " `*ffn_down*`.",
)


class QuantizeDynamic(Step):
    """int8 weights; activations are quantised batch by batch, with the range that each has."""

    kind: ClassVar[str] = "quantize-dynamic"
    lossy: ClassVar[bool] = True

    per_channel: bool = Field(True, description="A scale for each output channel of a weight.")
    reduce_range: bool = Field(
        False, description="7-bit weights, which cannot overflow where there is no VNNI."
    )
    keep: tuple[str, ...] = Keep

    def not_applicable(self, ops: dict[str, int]) -> str:
        """See ``Step``."""
        return _no_weights(ops)

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder:
            prepared = _prepared(source, Path(folder))
            quantize_dynamic(
                str(prepared),
                str(target),
                weight_type=QuantType.QInt8,
                per_channel=self.per_channel,
                reduce_range=self.reduce_range,
                nodes_to_exclude=_kept(prepared, self.keep),
                # A fused graph has tensors of unknown type, which stop it otherwise.
                extra_options={"DefaultTensorType": 1},
            )


class QuantizeStatic(Step):
    """int8 weights and activations, with ranges measured on real inputs beforehand (QDQ)."""

    kind: ClassVar[str] = "quantize-static"
    lossy: ClassVar[bool] = True

    method: Literal["minmax", "entropy", "percentile"] = Field(
        "minmax", description="How a range is taken from what was measured."
    )
    per_channel: bool = Field(True, description="A scale for each output channel of a weight.")
    keep: tuple[str, ...] = Keep
    samples: int = Field(256, ge=1, le=8192, description="Rows that ranges are measured on.")

    def not_applicable(self, ops: dict[str, int]) -> str:
        """See ``Step``."""
        return _no_weights(ops)

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        from onnxruntime.quantization import (
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )

        methods = {
            "minmax": CalibrationMethod.MinMax,
            "entropy": CalibrationMethod.Entropy,
            "percentile": CalibrationMethod.Percentile,
        }
        with tempfile.TemporaryDirectory() as folder:
            prepared = _prepared(source, Path(folder))
            quantize_static(
                str(prepared),
                str(target),
                _reader(context.calibration, self.samples),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=self.per_channel,
                calibrate_method=methods[self.method],
                nodes_to_exclude=_kept(prepared, self.keep),
                # The runtime's own adjustment fails on weights with a scale for each channel.
                extra_options={"QDQDisableWeightAdjustForInt32Bias": True},
            )


def _no_weights(ops: dict[str, int]) -> str:
    if any(ops.get(kind) for kind in WEIGHTED):
        return ""
    return f"the graph has no {', '.join(WEIGHTED[:-1])} with weights to quantise"


def _prepared(source: Path, folder: Path) -> Path:
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


def _kept(path: Path, keep: tuple[str, ...]) -> list[str]:
    """Names of the nodes that stay in FP32.

    Raises:
        OptimizeError: a pattern fits no layer, which would quietly quantise everything.
    """
    import onnx

    nodes = [node.name for node in onnx.load(path).graph.node if node.op_type in WEIGHTED]
    kept: list[str] = []
    for pattern in keep:
        if pattern in ("first", "last"):
            found = nodes[:1] if pattern == "first" else nodes[-1:]
        else:
            found = fnmatch.filter(nodes, pattern)
        if not found:
            raise OptimizeError(
                step="quantize",
                problem=f"keep: no layer is named like {pattern!r}",
                remedy=f"the layers are: {', '.join(nodes[:12])}",
            )
        kept += found
    # The quantiser splits a Gemm first, and asks for the names of its parts.
    return kept + [f"{name}_MatMul" for name in kept]


def _reader(inputs: dict[str, Any], samples: int) -> Any:
    """Rows one by one, as the calibrators take them."""
    from onnxruntime.quantization import CalibrationDataReader

    count = min(samples, len(next(iter(inputs.values()))))
    rows = [{name: array[i : i + 1] for name, array in inputs.items()} for i in range(count)]

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows = iter(rows)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._rows, None)

    return Reader()
