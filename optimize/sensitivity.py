"""Which layers suffer most from being quantised: each is, alone, and the answers are compared."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optimize.layers import EMBEDDINGS, with_weights

__all__ = ["SENSITIVITY", "Sensitivity", "most_sensitive", "sensitivities", "write_sensitivities"]

SENSITIVITY = "sensitivity.json"
"""In the folder of an artefact for which it was measured."""
ROWS = 32
MAX_GROUPS = 32
"""Above so many layers, neighbours share a measurement."""

Quantise = Callable[[Path, list[str]], None]
"""Writes the graph to a path with no layers but these quantised."""


@dataclass(frozen=True)
class Sensitivity:
    """Root mean square of what the answers moved by, as a share of their standard deviation."""

    layers: tuple[str, ...]
    error: float
    kept: bool = False


def sensitivities(
    path: Path, quantise: Quantise, inputs: Mapping[str, Any], scratch: Path
) -> list[Sensitivity]:
    """Measure the graph at ``path`` group by group on real rows, in the order of its layers."""
    rows = {name: array[:ROWS] for name, array in inputs.items()}
    wanted = _answers(path, rows)
    layers = with_weights(path, EMBEDDINGS)
    size = math.ceil(len(layers) / MAX_GROUPS) or 1
    found = []
    for start in range(0, len(layers), size):
        group = layers[start : start + size]
        target = scratch / "one_group.onnx"
        quantise(target, group)
        found.append(Sensitivity(tuple(group), _error(_answers(target, rows), wanted)))
    return found


def most_sensitive(found: Sequence[Sensitivity], share: float) -> list[Sensitivity]:
    """The same, with the most sensitive ``share`` of the layers (at least one group) marked."""
    layers = sum(len(each.layers) for each in found)
    worst = sorted(range(len(found)), key=lambda index: -found[index].error)
    kept: set[int] = set()
    count = 0
    for index in worst:
        if kept and count + len(found[index].layers) > share * layers:
            break
        kept.add(index)
        count += len(found[index].layers)
    return [Sensitivity(each.layers, each.error, index in kept) for index, each in enumerate(found)]


def write_sensitivities(folder: Path, found: Sequence[Sensitivity]) -> None:
    """Keep them beside the artefact, for the report."""
    (folder / SENSITIVITY).write_text(json.dumps([asdict(each) for each in found], indent=1))


def _answers(path: Path, rows: Mapping[str, Any]) -> list[Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answers: list[Any] = session.run(None, dict(rows))
    return answers


def _error(got: Sequence[Any], wanted: Sequence[Any]) -> float:
    """The largest of all outputs; of words and whole numbers the share that is another."""
    errors = []
    for mine, array in zip(got, wanted, strict=True):
        if array.dtype.kind != "f":
            errors.append(float(np.mean(mine != array)))
            continue
        moved = mine.astype(np.float64) - array
        if not np.isfinite(moved).all():
            return math.inf
        spread = float(np.std(array.astype(np.float64))) or 1.0
        errors.append(float(np.sqrt(np.mean(moved**2))) / spread)
    return max(errors)
