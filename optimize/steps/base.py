"""What a step is: declared parameters, an artefact in, a new artefact out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from serve.config.base import Settings

__all__ = ["EXPORT", "MODEL", "PROGRAM", "Context", "Step", "op_counts"]

MODEL = "model.onnx"
"""The file of an artefact's folder."""
PROGRAM = "program.pt2"
"""Beside it where the model is a network: what ``torch.export`` made of it, with its shapes."""
EXPORT = "export.json"
"""How the export was made: its ``opset``, or in ``no_onnx`` why it has no graph."""

TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")


@dataclass(frozen=True)
class Context:
    """What a step may look at besides the artefact: real inputs, decoded, by name."""

    calibration: dict[str, Any]


class Step(Settings):
    """Base of all steps. An instance is a set of parameters; it is frozen and has no state."""

    kind: ClassVar[str]
    lossy: ClassVar[bool] = False
    """Whether its outputs differ by more than rounding: then the metric decides, not parity."""
    rounds: ClassVar[bool] = False
    """Whether it rounds numbers coarsely: then a row's neighbours may move its answer, by no more
    than the rounding itself does."""

    def not_applicable(self, ops: dict[str, int]) -> str:
        """Why the step has nothing to do in a graph of such operators; empty if it has."""
        return ""

    def run(self, source: Path, target: Path, context: Context) -> None:
        """Read the model at ``source`` and write the new one to ``target``. Blocks.

        Raises:
            OptimizeError: it cannot be done; names the remedy.
        """
        raise NotImplementedError

    def label(self) -> str:
        """The step with what differs from its defaults, for people."""
        changed = {
            name: value
            for name, value in self.model_dump().items()
            if value != type(self).model_fields[name].default
        }
        inner = ", ".join(f"{name}={_short(value)}" for name, value in changed.items())
        return f"{self.kind}({inner})" if inner else self.kind


def _short(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def op_counts(path: Path) -> dict[str, int]:
    """How often each operator is in a graph."""
    import onnx

    counts: dict[str, int] = {}
    for node in onnx.load(path, load_external_data=False).graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
