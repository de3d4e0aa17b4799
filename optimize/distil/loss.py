"""What a student is trained to make small.

Hinton et al., 2015, "Distilling the Knowledge in a Neural Network": the divergence from the
teacher's probabilities, both softened by a temperature, and the error on the true target; of an
embedding, the angle to the teacher's, and whether like rows lie together (supervised contrastive
loss, Khosla et al., 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from optimize.distil.target import Kind

__all__ = ["Loss", "Wanted"]

CONTRAST = 0.05
"""Temperature of the contrastive loss."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of some rows.

    ``teacher`` is raw, [rows, size]; ``hard`` [rows] or [rows, size], meaningless where
    ``labelled`` [rows] is false.
    """

    teacher: Tensor
    hard: Tensor
    labelled: Tensor

    def take(self, index: Tensor) -> Wanted:
        """Some of the rows."""
        return Wanted(self.teacher[index], self.hard[index], self.labelled[index])


@dataclass(frozen=True)
class Loss:
    """``alpha`` of the soft loss and the rest of the hard one; rows without a label, soft alone."""

    kind: Kind
    temperature: float
    alpha: float

    def __call__(self, raw: Tensor, wanted: Wanted) -> Tensor:
        """The mean over the rows of raw answers [rows, size]."""
        share = torch.where(wanted.labelled, self.alpha, 1.0)
        total = raw.new_zeros(len(raw))
        if self.alpha > 0:
            total = total + share * self._soft(raw, wanted.teacher)
        if self.alpha < 1:
            hard = self._hard(raw, wanted)
            total = total + (1 - share) * torch.where(wanted.labelled, hard, 0.0)
        return total.mean()

    def _soft(self, raw: Tensor, teacher: Tensor) -> Tensor:
        if self.kind == "classes":
            soft = functional.softmax(teacher / self.temperature, dim=1)
            own = functional.log_softmax(raw / self.temperature, dim=1)
            return functional.kl_div(own, soft, reduction="none").sum(1) * self.temperature**2
        if self.kind == "binary":
            soft = torch.sigmoid(teacher / self.temperature)
            cross = functional.binary_cross_entropy_with_logits(
                raw / self.temperature, soft, reduction="none"
            )
            # Less the teacher's own entropy, so that it is a divergence, and ends at zero.
            own = functional.binary_cross_entropy_with_logits(
                teacher / self.temperature, soft, reduction="none"
            )
            return (cross - own).squeeze(1) * self.temperature**2
        if self.kind == "embedding":
            return 1 - functional.cosine_similarity(raw, teacher, dim=1)
        return (raw - teacher).square().mean(1)

    def _hard(self, raw: Tensor, wanted: Wanted) -> Tensor:
        if self.kind == "classes":
            return functional.cross_entropy(raw, wanted.hard, reduction="none")
        if self.kind == "binary":
            return functional.binary_cross_entropy_with_logits(
                raw.squeeze(1), wanted.hard.to(raw.dtype), reduction="none"
            )
        if self.kind == "embedding":
            return _contrast(raw, wanted)
        return (raw - wanted.hard).square().mean(1)


def _contrast(raw: Tensor, wanted: Wanted) -> Tensor:
    """For each row, how far the rows of its group are from being the nearest of the batch."""
    unit = functional.normalize(raw, dim=1)
    itself = torch.eye(len(raw), dtype=torch.bool)
    near = (unit @ unit.T / CONTRAST).masked_fill(itself, -torch.inf)
    labelled = wanted.labelled[:, None] & wanted.labelled[None]
    same = (wanted.hard[:, None] == wanted.hard[None]) & labelled & ~itself
    log_share = near - near.logsumexp(1, keepdim=True)
    total = torch.where(same, log_share, 0.0).sum(1)
    return -total / same.sum(1).clamp(min=1)
