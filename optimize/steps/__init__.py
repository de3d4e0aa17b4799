"""The steps a candidate is made by: a file each."""

from __future__ import annotations

from collections.abc import Mapping

from optimize.steps.base import Step
from optimize.steps.cast import Cast
from optimize.steps.clean import Clean
from optimize.steps.fuse import Fuse
from optimize.steps.optimise_graph import Compile
from optimize.steps.quantize import QuantizeDynamic, QuantizeStatic

__all__ = ["STEPS", "Cast", "Clean", "Compile", "Fuse", "QuantizeDynamic", "QuantizeStatic", "Step"]

STEPS: Mapping[str, type[Step]] = {
    step.kind: step for step in (Clean, Fuse, QuantizeDynamic, QuantizeStatic, Cast, Compile)
}
"""By the name they have in ``optimize.steps``."""
