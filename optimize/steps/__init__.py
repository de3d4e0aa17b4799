"""The steps a candidate is made by: a file each."""

from __future__ import annotations

from collections.abc import Mapping

from optimize.steps.aot_inductor import AotInductor
from optimize.steps.base import Step
from optimize.steps.cast import Cast
from optimize.steps.clean import Clean
from optimize.steps.distil import Distil
from optimize.steps.fuse import Fuse
from optimize.steps.optimise_graph import Compile
from optimize.steps.quantize import QuantizeDynamic, QuantizeStatic
from optimize.steps.tensorrt import TensorRt

__all__ = [
    "STEPS",
    "AotInductor",
    "Cast",
    "Clean",
    "Compile",
    "Distil",
    "Fuse",
    "QuantizeDynamic",
    "QuantizeStatic",
    "Step",
    "TensorRt",
]

STEPS: Mapping[str, type[Step]] = {
    step.kind: step
    for step in (
        Distil,
        Clean,
        Fuse,
        QuantizeDynamic,
        QuantizeStatic,
        Cast,
        Compile,
        AotInductor,
        TensorRt,
    )
}
"""By the name they have in ``optimize.steps``."""
