"""``fuse``: attention, layer normalisation and GELU as one operator each (transformers)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from optimize.errors import OptimizeError
from optimize.steps.base import Context, Step, op_counts

__all__ = ["FUSED", "Fuse"]

FUSED = (
    "Attention",
    "BiasGelu",
    "EmbedLayerNormalization",
    "FastGelu",
    "Gelu",
    "LayerNormalization",
    "MultiHeadAttention",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
)
"""What onnxruntime's transformers optimiser puts in place of patterns of small operators."""

WEIGHTLESS = "the graph has no MatMul, so it is no transformer"


class Fuse(Step):
    """Let onnxruntime's transformers optimiser look for the patterns of a kind of network.

    It finds nothing, and says nothing, when an exporter writes a pattern in another way; here that
    is an error, so that nobody takes a graph for fused that is not.
    """

    kind: ClassVar[str] = "fuse"

    model_type: Literal[
        "bart", "bert", "clip", "conformer", "gpt2", "gpt_neox", "phi", "t5", "vit"
    ] = Field("bert", description="The family whose patterns are looked for.")
    heads: int = Field(0, ge=0, description="Attention heads; 0: found in the graph.")
    hidden_size: int = Field(0, ge=0, description="Width of a layer; 0: found in the graph.")
    min_fused: int = Field(
        1, ge=1, description="So many operators must have been fused, or the step fails."
    )
    must_have: tuple[str, ...] = Field(
        (), description="Operators of which the fused graph must have one, such as Attention."
    )

    def not_applicable(self, ops: dict[str, int]) -> str:
        """See ``Step``."""
        return "" if ops.get("MatMul") else WEIGHTLESS

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        import onnx
        from onnxruntime.transformers.optimizer import optimize_model

        if bool(self.heads) != bool(self.hidden_size):
            raise OptimizeError(
                step=self.kind,
                problem="one of heads and hidden_size is given without the other",
                remedy="give both, or neither to have them found in the graph",
            )
        before = op_counts(source)
        # Level 0: the runtime's own fusions, which need its session, are what `compile` is for.
        fused = optimize_model(
            str(source),
            self.model_type,
            num_heads=self.heads,
            hidden_size=self.hidden_size,
            opt_level=0,
        )
        onnx.save(fused.model, target)
        self._check(before, op_counts(target))

    def _check(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        found = {
            name: count for name in FUSED if (count := after.get(name, 0) - before.get(name, 0)) > 0
        }
        shown = ", ".join(f"{count} {name}" for name, count in found.items()) or "nothing"
        if sum(found.values()) < self.min_fused:
            raise OptimizeError(
                step=self.kind,
                problem=f"fused {shown}, of which at least {self.min_fused} operators were asked",
                remedy="the exporter writes these patterns in another way: try another model_type"
                " or exporter, lower min_fused, or leave `fuse` out of optimize.steps",
            )
        absent = [name for name in self.must_have if not after.get(name)]
        if absent:
            raise OptimizeError(
                step=self.kind,
                problem=f"the fused graph has no {absent[0]} (fused: {shown})",
                remedy="give heads and hidden_size, try another exporter, or take it out of"
                " must_have",
            )
