"""A small torch program with what real ones have: several inputs, a length of its own, BF16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optimize.steps.base import EXPORT, PROGRAM
from serve.tensors import Array

__all__ = ["Mixed", "arrays", "save_program"]

VOCABULARY = 16


class Mixed(torch.nn.Module):
    """Numbers and words in; scores, a BF16 vector and the words themselves out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(VOCABULARY, 8)
        self.hidden = torch.nn.Linear(4, 8)
        self.score = torch.nn.Linear(8, 3)

    def forward(self, x: Any, tokens: Any, mask: Any) -> Any:
        words = (self.embedding(tokens) * mask.unsqueeze(-1)).sum(1)
        hidden = torch.relu(self.hidden(x) + words)
        scores = torch.softmax(self.score(hidden), -1)
        return {"scores": scores, "half": hidden.to(torch.bfloat16), "tokens": tokens}


def arrays(rows: int, length: int = 5, seed: int = 0) -> tuple[Array, Array, Array]:
    """A batch for Mixed, read-only as views of a network buffer are."""
    rng = np.random.default_rng(seed)
    made = (
        rng.standard_normal((rows, 4)).astype(np.float32),
        rng.integers(0, VOCABULARY, (rows, length)),
        (rng.random((rows, length)) < 0.8).astype(np.float32),
    )
    for array in made:
        array.flags.writeable = False
    return made


def save_program(module: torch.nn.Module, folder: Path) -> Path:
    """The exported program of ``module``, which takes what ``arrays`` gives."""
    dynamic = torch.export.Dim.DYNAMIC
    names = ("x", "tokens", "mask")
    example = dict(zip(names, map(torch.tensor, arrays(3)), strict=True))
    shapes = {
        "x": {0: dynamic},
        "tokens": {0: dynamic, 1: dynamic},
        "mask": {0: dynamic, 1: dynamic},
    }
    program = torch.export.export(module, (), example, dynamic_shapes=shapes, strict=False)
    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, folder / PROGRAM)
    (folder / EXPORT).write_text(json.dumps({"exporter": "torch.export"}))
    return folder / PROGRAM
