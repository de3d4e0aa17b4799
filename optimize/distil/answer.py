"""Between a student's raw answer and the served one, as modules that are trained and exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optimize.distil.target import SURE, Target

__all__ = ["Served", "raw_of"]


class Served(nn.Module):
    """A student with its raw answer turned into the served output: what is exported."""

    centre: Tensor
    scale: Tensor

    def __init__(self, student: nn.Module, target: Target) -> None:
        super().__init__()
        self.student = student
        self._target = target
        self.register_buffer("centre", torch.from_numpy(target.centre))
        self.register_buffer("scale", torch.from_numpy(target.scale))

    def forward(self, features: Tensor) -> Tensor:
        """Prepared rows [rows, width] → [rows, *row_shape]."""
        raw: Tensor = self.student(features)
        target = self._target
        if target.kind == "values":
            raw = raw * self.scale + self.centre
        elif target.kind == "embedding":
            raw = nn.functional.normalize(raw, dim=1)
        elif not target.logits:
            raw = torch.softmax(raw, 1) if target.kind == "classes" else torch.sigmoid(raw)
        return raw if target.row_shape == (target.size,) else raw.reshape(-1, *target.row_shape)


def raw_of(answer: Tensor, target: Target) -> Tensor:
    """What ``Target.raw`` does, of the answer of a network that is trained as it is."""
    flat = answer.flatten(1) if answer.ndim > 1 else answer[:, None]
    if target.kind == "values":
        return (flat - torch.from_numpy(target.centre)) / torch.from_numpy(target.scale)
    if target.kind == "classes" and not target.logits:
        return flat.clamp_min(SURE).log()
    if target.kind == "binary" and not target.logits:
        return torch.logit(flat, eps=SURE)
    return flat
