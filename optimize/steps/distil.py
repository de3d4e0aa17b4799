"""``distil``: a small network that has learnt to answer as the original does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from optimize.errors import OptimizeError
from optimize.steps.base import Context, Step

__all__ = ["RESULT", "Distil"]

RESULT = "distil.json"
"""Beside the graph: how the training went, and the student beside its teacher and its control."""

BUILT_IN = ("mlp", "cnn", "layers")
RATES = {"layers": 1e-4}
USUAL_RATE = 2e-3


class Distil(Step):
    """Train a student on the original's answers to training and transfer rows; see the manual."""

    kind: ClassVar[str] = "distil"
    lossy: ClassVar[bool] = True
    learns: ClassVar[bool] = True

    student: str = Field(
        "mlp",
        description="mlp, cnn, layers (some of the original network's layers), or"
        " `file.py:function` that returns a torch.nn.Module.",
    )
    hidden: tuple[int, ...] = Field((64, 64), description="Widths of an mlp's layers.")
    channels: tuple[int, ...] = Field((16, 32), description="Channels of a cnn's convolutions.")
    image_shape: tuple[int, ...] = Field(
        (), description="Of a cnn: [rows, columns] or [colours, rows, columns] of an input row."
    )
    bins: int = Field(
        16, ge=1, le=256, description="Intervals that an mlp sees a number in; 1 is its range."
    )
    keep: tuple[int, ...] = Field((), description="Of layers: which are kept, from 0.")
    count: int | None = Field(
        None, ge=1, description="Of layers: how many, evenly. Default: half of them."
    )
    temperature: float = Field(2.0, gt=0, description="What probabilities are softened by.")
    alpha: float = Field(
        0.9, ge=0, le=1, description="Weight of the original's answers; the rest is the target's."
    )
    epochs: int = Field(60, ge=1, description="Most passes over the rows.")
    patience: int = Field(10, ge=1, description="Passes without a better held-out loss.")
    held_out: float = Field(0.1, gt=0, lt=1, description="Share of the rows that decides on that.")
    batch_rows: int = Field(128, ge=2, description="Rows in a training step.")
    learning_rate: float | None = Field(
        None, gt=0, description="At its highest. Default: 0.002, of layers 0.0001."
    )
    seed: int = Field(0, ge=0, description="Of the student that becomes the candidate.")
    seeds: int = Field(
        3, ge=0, description="How many seeds to compare with students trained without the original."
    )
    minutes: float = Field(
        5.0,
        gt=0,
        description="Training ends here, with the best weights; where the student is compared, in"
        " a little less than half of it.",
    )

    @field_validator("student")
    @classmethod
    def _is_student(cls, value: str) -> str:
        if value not in BUILT_IN and ".py:" not in value:
            raise ValueError(f"is one of {', '.join(BUILT_IN)}, or file.py:function")
        return value

    @property
    def usual_rate(self) -> float:
        """The learning rate where none is set."""
        return RATES.get(self.student, USUAL_RATE)

    def unavailable(self) -> str:
        """See ``Step``."""
        if importlib.util.find_spec("torch") is None:
            return "torch is not installed: pip install 'penstock[torch]'"
        return ""

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``."""
        if context.teaching is None:
            raise OptimizeError(
                step="distil",
                problem="there are no rows to learn from",
                remedy="set optimize.data.training or optimize.data.transfer",
            )
        from optimize.distil.distilling import distil

        distil(self, context.teaching, target)
