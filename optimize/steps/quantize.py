"""``quantize-dynamic`` and ``quantize-static``: int8 weights, and activations too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from optimize.layers import (
    AUTO,
    WEIGHTED,
    kept_layers,
    prepare,
    standard_attention,
    with_parts,
)
from optimize.sensitivity import ROWS, most_sensitive, sensitivities, write_sensitivities
from optimize.steps.base import Context, Step

__all__ = ["QuantizeDynamic", "QuantizeStatic"]

Keep = Field(
    (),
    description="Layers left in FP32: `first`, `last`, patterns of node names such as"
    " `*ffn_down*`, or `auto`: the most sensitive, found by quantising each alone.",
)
Share = Field(0.1, gt=0, lt=1, description="Share of the layers that `auto` leaves in FP32.")


class QuantizeDynamic(Step):
    """int8 weights; activations are quantised batch by batch, with the range that each has."""

    kind: ClassVar[str] = "quantize-dynamic"
    lossy: ClassVar[bool] = True
    rounds: ClassVar[bool] = True

    per_channel: bool = Field(True, description="A scale for each output channel of a weight.")
    reduce_range: bool = Field(
        False, description="7-bit weights, which cannot overflow where there is no VNNI."
    )
    keep: tuple[str, ...] = Keep
    share: float = Share

    def not_applicable(self, ops: dict[str, int]) -> str:
        """See ``Step``."""
        return _no_weights(ops)

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder:
            prepared = prepare(source, Path(folder))
            to_int8 = partial(
                quantize_dynamic,
                str(prepared),
                weight_type=QuantType.QInt8,
                per_channel=self.per_channel,
                reduce_range=self.reduce_range,
                # A fused graph has tensors of unknown type, which stop it otherwise.
                extra_options={"DefaultTensorType": 1},
            )

            def one_group(path: Path, layers: list[str]) -> None:
                to_int8(str(path), nodes_to_quantize=with_parts(layers))

            kept = _kept(self.keep, self.share, prepared, target, one_group, context)
            to_int8(str(target), nodes_to_exclude=kept)


class QuantizeStatic(Step):
    """int8 weights and activations, with ranges measured on real inputs beforehand (QDQ)."""

    kind: ClassVar[str] = "quantize-static"
    lossy: ClassVar[bool] = True
    rounds: ClassVar[bool] = True

    method: Literal["minmax", "entropy", "percentile"] = Field(
        "minmax", description="How a range is taken from what was measured."
    )
    per_channel: bool = Field(True, description="A scale for each output channel of a weight.")
    keep: tuple[str, ...] = Keep
    share: float = Share
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
            prepared = prepare(source, Path(folder))
            to_int8 = partial(
                quantize_static,
                str(prepared),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=self.per_channel,
                calibrate_method=methods[self.method],
                # The runtime's own adjustment fails on weights with a scale for each channel.
                extra_options={"QDQDisableWeightAdjustForInt32Bias": True},
            )

            def one_group(path: Path, layers: list[str]) -> None:
                reader = _reader(context.calibration, min(self.samples, ROWS))
                to_int8(str(path), reader, nodes_to_quantize=with_parts(layers))

            kept = _kept(self.keep, self.share, prepared, target, one_group, context)
            reader = _reader(context.calibration, self.samples)
            to_int8(str(target), reader, nodes_to_exclude=kept)


def _no_weights(ops: dict[str, int]) -> str:
    if any(ops.get(kind) for kind in WEIGHTED):
        return ""
    return f"the graph has no {', '.join(WEIGHTED[:-1])} with weights to quantise"


def _kept(
    keep: tuple[str, ...],
    share: float,
    prepared: Path,
    target: Path,
    quantise: Callable[[Path, list[str]], None],
    context: Context,
) -> list[str]:
    """Names of the layers that stay in FP32; with ``auto`` they are measured first."""
    kept = kept_layers(prepared, keep)
    if AUTO in keep:
        found = sensitivities(prepared, quantise, context.calibration, prepared.parent)
        found = most_sensitive(found, share)
        write_sensitivities(target.parent, found)
        kept += [name for each in found if each.kept for name in each.layers]
    return with_parts(kept) + standard_attention(prepared)


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
