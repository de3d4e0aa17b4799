"""What a step is: declared parameters, an artefact in, a new artefact out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from serve.config.base import Settings

__all__ = ["COMPILED", "EXPORT", "MODEL", "PROGRAM", "Context", "Step", "Teaching", "op_counts"]

MODEL = "model.onnx"
"""The file of an artefact's folder."""
PROGRAM = "program.pt2"
"""Beside it where the model is a network: what ``torch.export`` made of it, with its shapes."""
COMPILED = "model.pt2"
"""In place of MODEL: native code that torch made of the program."""
EXPORT = "export.json"
"""How the export was made: its ``opset``, or in ``no_onnx`` why it has no graph; of a network, the
``signature`` of its program, or in ``no_program`` why it cannot be compiled."""

TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")


@dataclass(frozen=True)
class Teaching:
    """What a step that learns may read: folders of finished steps, and the original.

    ``output`` is the judged one, which it learns; ``metrics`` are those of the gates, of which
    ``custom`` loads the user's own. ``original`` loads the trained model.
    """

    folder: Path
    export: Path
    reference: Path
    lessons: Path
    output: str
    metrics: Sequence[str]
    custom: Callable[[], Mapping[str, Callable[..., Any]]]
    original: Callable[[], Any]


@dataclass(frozen=True)
class Context:
    """What a step may look at besides the artefact: real inputs, decoded, by name.

    ``teaching`` is there for a step that ``learns``, ``batch_sizes`` for one that is ``shaped``.
    """

    calibration: dict[str, Any]
    teaching: Teaching | None = None
    batch_sizes: tuple[int, ...] = ()


class Step(Settings):
    """Base of all steps. An instance is a set of parameters; it is frozen and has no state."""

    kind: ClassVar[str]
    lossy: ClassVar[bool] = False
    """Whether its outputs differ by more than rounding: then the metric decides, not parity."""
    rounds: ClassVar[bool] = False
    """Whether it rounds numbers coarsely: then a row's neighbours may move its answer, by no more
    than the rounding itself does."""
    learns: ClassVar[bool] = False
    """Whether it is taught by the original, on rows of ``data.training`` and ``data.transfer``."""
    takes: ClassVar[str] = MODEL
    """The file of the artefact's folder that it reads."""
    makes: ClassVar[str] = MODEL
    """The file that it writes."""
    shaped: ClassVar[bool] = False
    """Whether what it makes is for certain batch sizes: then it is told those of the target."""

    def unavailable(self) -> str:
        """Why the step cannot be done on this machine: what is absent; empty if nothing is."""
        return ""

    def target_key(self) -> str:
        """What of this machine its result depends on, beside the libraries; empty if nothing."""
        return ""

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
