"""What the original was asked and what it answered; every candidate is held against it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serve.repository.golden import read_golden, write_golden
from serve.tensors import Array

__all__ = ["EDGES", "EVALUATION", "SIGNATURE", "TARGET", "Asked", "read_asked", "write_asked"]

EVALUATION, EDGES, SIGNATURE = "evaluation.npz", "edges.npz", "signature.json"
TARGET = "target.npy"


@dataclass(frozen=True)
class Asked:
    """Decoded inputs with the original's answers, and the true target; ``edges`` may be empty.

    ``groups`` has one number an edge row; rows of one group (not -1) may answer for each other.
    """

    inputs: dict[str, Array]
    answers: dict[str, Array]
    target: Array
    edges: dict[str, Array]
    edge_answers: dict[str, Array]
    edge_labels: list[str]
    groups: list[int]


def write_asked(folder: Path, asked: Asked, about: dict[str, object]) -> None:
    """Write all of it to ``folder``; ``about`` is what else ``signature.json`` says."""
    write_golden(folder / EVALUATION, asked.inputs, asked.answers)
    write_golden(folder / EDGES, asked.edges, asked.edge_answers)
    np.save(folder / TARGET, asked.target, allow_pickle=False)
    document = {**about, "labels": asked.edge_labels, "groups": asked.groups}
    (folder / SIGNATURE).write_text(json.dumps(document, indent=1))


def read_asked(folder: Path) -> Asked:
    """What ``write_asked`` wrote."""
    document = json.loads((folder / SIGNATURE).read_text())
    inputs, answers = read_golden(folder / EVALUATION)
    edges, edge_answers = read_golden(folder / EDGES)
    target = np.load(folder / TARGET, allow_pickle=False)
    return Asked(
        inputs, answers, target, edges, edge_answers, document["labels"], document["groups"]
    )
