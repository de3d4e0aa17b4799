"""Training of one student."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from optimize.distil.loss import Loss, Wanted
from optimize.errors import OptimizeError
from serve.clock import monotonic_ns

__all__ = ["Examples", "Fitted", "Schedule", "raw_answers", "together", "train"]

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises; then it falls along a cosine."""
LARGEST_GRADIENT = 1.0
ANSWER_ROWS = 512
NEAR_LENGTH = 50
"""Batches of rows that are sorted by length at a time, so that little of a batch is padding."""
MUCH_SHORTER = 0.75
"""Rows are asked apart from the others where they are at most this part of the longest."""


class Examples(Protocol):
    """Rows as a student takes them. ``lengths`` [rows] where rows differ in length."""

    lengths: Tensor | None

    def __len__(self) -> int: ...

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """The student's arguments for some of the rows."""
        ...


@dataclass(frozen=True)
class Schedule:
    """How long to train. ``steps``: exactly so many, in place of ``epochs`` and ``patience``."""

    epochs: int
    patience: int
    batch_rows: int
    learning_rate: float
    seed: int
    deadline_ns: int
    steps: int | None = None


@dataclass(frozen=True)
class Fitted:
    """How a training went; the student has its best weights. ``stopped`` says what ended it."""

    steps: int
    epochs: int
    held_out_loss: float
    stopped: str


def train(
    student: nn.Module,
    examples: Examples,
    wanted: Wanted,
    parts: tuple[Tensor, Tensor],
    loss: Loss,
    schedule: Schedule,
    say: Callable[[str], None],
) -> Fitted:
    """Train in place on the first part of the rows, and keep the weights best on the second.

    Raises:
        OptimizeError: the loss is no longer a number.
    """
    seen, held_out = parts
    groups = wanted.hard if loss.kind == "embedding" and loss.alpha < 1 else None
    chance = torch.Generator().manual_seed(schedule.seed)
    an_epoch = math.ceil(len(seen) / schedule.batch_rows)
    most = schedule.steps or an_epoch * schedule.epochs
    learned = [each for each in student.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=schedule.learning_rate)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, most))
    best, best_loss, since = copy.deepcopy(student.state_dict()), math.inf, 0
    began_ns, step, epoch, stopped = monotonic_ns(), 0, 0, ""
    while not stopped:
        student.train()
        for index in _batches(seen, examples.lengths, groups, schedule.batch_rows, chance):
            found = loss(_asked(student, examples, index), wanted.take(index))
            if not torch.isfinite(found):
                raise OptimizeError(
                    step="distil",
                    problem=f"the loss was {found.item()} in epoch {epoch + 1}, step {step + 1}",
                    remedy=f"lower its learning_rate (it is {schedule.learning_rate:g}), or look"
                    " for rows with extreme values in the training data",
                )
            optimiser.zero_grad()
            torch.autograd.backward(found)
            nn.utils.clip_grad_norm_(learned, LARGEST_GRADIENT)
            optimiser.step()
            rate.step()
            step += 1
            if step >= most:
                stopped = "all steps done"
            elif monotonic_ns() > schedule.deadline_ns:
                stopped = "time limit"
            if stopped:
                break
        epoch += 1
        now_loss = _held_out_loss(student, examples, wanted, held_out, loss)
        if now_loss < best_loss:
            best, best_loss, since = copy.deepcopy(student.state_dict()), now_loss, 0
        else:
            since += 1
            if schedule.steps is None and since >= schedule.patience and not stopped:
                stopped = f"no better for {since} epochs"
        left_s = (monotonic_ns() - began_ns) / 1e9 / step * (most - step)
        say(
            f"epoch {epoch}, step {step} of {most}: held-out loss {now_loss:.5f},"
            f" at most {left_s:.0f} s left"
        )
    student.load_state_dict(best)
    student.eval()
    return Fitted(step, epoch, best_loss, stopped)


def raw_answers(student: nn.Module, examples: Examples, index: Tensor) -> Tensor:
    """Raw answers [rows, size] of a student to the rows at ``index``."""
    student.eval()
    order = index if examples.lengths is None else index[examples.lengths[index].argsort()]
    parts = []
    with torch.inference_mode():
        for piece in _pieces(order, ANSWER_ROWS):
            parts.append(student(*examples.batch(piece)))
    answers = torch.cat(parts)
    if order is not index:
        back = torch.empty_like(order)
        back[examples.lengths[index].argsort()] = torch.arange(len(order))  # type: ignore[index]
        answers = answers[back]
    return answers.clone()


def _held_out_loss(
    student: nn.Module, examples: Examples, wanted: Wanted, rows: Tensor, loss: Loss
) -> float:
    with torch.inference_mode():
        return float(loss(raw_answers(student, examples, rows), wanted.take(rows)))


def _pieces(rows: Tensor, size: int) -> list[Tensor]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _rate(step: int, most: int) -> float:
    warm = max(1, int(WARM_UP * most))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, most - warm)))


def _asked(student: nn.Module, examples: Examples, index: Tensor) -> Tensor:
    """Raw answers to a batch; short rows are not padded to the length of much longer ones."""
    if examples.lengths is not None and len(index) > 1:
        order = examples.lengths[index].argsort(stable=True)
        short, long = index[order].tensor_split(2)
        if examples.lengths[short].max() <= MUCH_SHORTER * examples.lengths[long].max():
            raw = torch.cat([student(*examples.batch(each)) for each in (short, long)])
            return raw[order.argsort()]
    answers: Tensor = student(*examples.batch(index))
    return answers


def _batches(
    rows: Tensor,
    lengths: Tensor | None,
    groups: Tensor | None,
    size: int,
    chance: torch.Generator,
) -> Iterator[Tensor]:
    """The rows in random batches of about one length, those of a group together."""
    shuffled = rows[torch.randperm(len(rows), generator=chance)]
    if groups is not None:
        shuffled = together(shuffled, groups, chance)
    if lengths is None:
        yield from _pieces(shuffled, size)
        return
    if groups is not None:
        lengths = _longest(lengths, groups)
    batches: list[Tensor] = []
    for piece in _pieces(shuffled, size * NEAR_LENGTH):
        batches += _pieces(piece[lengths[piece].argsort(stable=True)], size)
    for index in torch.randperm(len(batches), generator=chance):
        yield batches[int(index)]


def together(rows: Tensor, groups: Tensor, chance: torch.Generator) -> Tensor:
    """Rows in a random order of their groups; ``groups`` [all rows] are numbers."""
    _, group = torch.unique(groups[rows], return_inverse=True)
    place = torch.randperm(int(group.max()) + 1, generator=chance)[group]
    return rows[place.argsort(stable=True)]


def _longest(lengths: Tensor, groups: Tensor) -> Tensor:
    """Of each row the length of its group's longest."""
    _, group = torch.unique(groups, return_inverse=True)
    longest = torch.zeros(int(group.max()) + 1, dtype=lengths.dtype)
    return longest.scatter_reduce(0, group, lengths, "amax")[group]
