from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optimize.distil.examples import Arguments, Matrix
from optimize.distil.loop import Fitted, Schedule, raw_answers, train
from optimize.distil.loss import Loss, Wanted
from optimize.distil.students import mlp
from optimize.errors import OptimizeError
from serve.clock import monotonic_ns

ROWS = np.random.default_rng(5).normal(0, 1, (300, 4)).astype(np.float32)
LOGITS = torch.from_numpy(ROWS @ np.ones((4, 1), np.float32))
WANTED = Wanted(LOGITS, (LOGITS[:, 0] > 0).long(), torch.ones(300) > 0)
PARTS = (torch.arange(240), torch.arange(240, 300))
SOFT = Loss("binary", 2.0, 0.9)
HOUR_NS = 3_600_000_000_000


def schedule(**changes: object) -> Schedule:
    made = Schedule(20, 5, 32, 1e-2, 0, monotonic_ns() + HOUR_NS)
    return replace(made, **changes)  # type: ignore[arg-type]


def fitted(
    how: Schedule, loss: Loss = SOFT, wanted: Wanted = WANTED
) -> tuple[Fitted, nn.Module, list[str]]:
    torch.manual_seed(0)
    student, said = mlp(4, (8,), 1), []
    return train(student, Matrix(ROWS), wanted, PARTS, loss, how, said.append), student, said


def test_train_learns_what_the_teacher_answers() -> None:
    how, student, said = fitted(schedule())
    answers = raw_answers(student, Matrix(ROWS), PARTS[1])
    assert ((answers[:, 0] > 0) == (LOGITS[PARTS[1], 0] > 0)).float().mean() > 0.9
    assert how.held_out_loss < 0.1 and len(said) == how.epochs
    assert "left" in said[0]


def test_train_is_the_same_for_the_same_seed() -> None:
    assert fitted(schedule())[0] == fitted(schedule())[0]


def test_train_stops_when_it_gets_no_better_and_keeps_the_best() -> None:
    noise = replace(WANTED, teacher=torch.randn(300, 1, generator=torch.Generator().manual_seed(1)))
    how, student, _ = fitted(schedule(epochs=500, patience=2), wanted=noise)
    assert how.stopped == "no better for 2 epochs"
    left = SOFT(raw_answers(student, Matrix(ROWS), PARTS[1]), noise.take(PARTS[1]))
    assert float(left) == pytest.approx(how.held_out_loss)


def test_train_takes_exactly_so_many_steps() -> None:
    how, _, _ = fitted(schedule(steps=11, patience=1))
    assert (how.steps, how.stopped) == (11, "all steps done")


def test_train_stops_at_its_time_limit() -> None:
    assert fitted(schedule(deadline_ns=0))[0].stopped == "time limit"


def test_train_says_when_the_loss_is_no_number() -> None:
    broken = replace(WANTED, teacher=LOGITS * torch.nan)
    with pytest.raises(OptimizeError, match=r"loss was nan in epoch 1, step 1.*learning_rate"):
        fitted(schedule(), wanted=broken)


@pytest.mark.parametrize("kind", ["classes", "binary", "values", "embedding"])
def test_soft_loss_is_nothing_for_the_teachers_own_answer(kind: str) -> None:
    teacher = torch.randn(9, 1 if kind == "binary" else 3)
    hard = torch.zeros(9, 3) if kind == "values" else torch.zeros(9, dtype=torch.long)
    wanted = Wanted(teacher, hard, torch.zeros(9) > 0)
    loss = Loss(kind, 3.0, 0.5)  # type: ignore[arg-type]
    assert float(loss(teacher, wanted)) == pytest.approx(0, abs=1e-5)
    assert float(loss(teacher + torch.randn(teacher.shape), wanted)) > 1e-3


def test_rows_without_a_label_are_learned_from_the_teacher_alone() -> None:
    teacher = torch.tensor([[0.0], [0.0]])
    hard = torch.tensor([1, 1])
    raw = torch.tensor([[0.0], [0.0]])
    loss = Loss("binary", 1.0, 0.25)
    none = loss(raw, Wanted(teacher, hard, torch.tensor([False, False])))
    half = loss(raw, Wanted(teacher, hard, torch.tensor([True, False])))
    assert float(none) == 0
    assert float(half) == pytest.approx(0.75 * np.log(2) / 2)


def test_hard_loss_of_an_embedding_brings_groups_together() -> None:
    wanted = Wanted(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]), torch.ones(4) > 0)
    apart = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    mixed = apart[[0, 2, 1, 3]]
    loss = Loss("embedding", 1.0, 0.0)
    assert float(loss(apart, wanted)) < 0.1 < float(loss(mixed, wanted))


class _Longest(nn.Module):
    """Answers how long its batch was padded to."""

    def forward(self, ids: Tensor) -> Tensor:
        return torch.full((len(ids), 1), float(ids.shape[1]))


def test_a_batch_is_as_long_as_its_longest_row() -> None:
    ids = np.zeros((4, 9), np.int64)
    for row, length in enumerate((3, 9, 1, 4)):
        ids[row, :length] = 1
    examples = Arguments({"ids": ids}, {"ids": (1,)})
    assert examples.lengths is not None and examples.lengths.tolist() == [3, 9, 1, 4]
    assert examples.batch(torch.tensor([0, 3]))[0].shape == (2, 4)
    assert raw_answers(_Longest(), examples, torch.tensor([3, 2])).tolist() == [[4], [4]]


def test_raw_answers_come_in_the_order_asked() -> None:
    ids = np.triu(np.ones((6, 6), np.int64)).T.copy()
    examples = Arguments({"ids": ids}, {"ids": (1,)})
    order = torch.tensor([5, 0, 3, 1])

    class Count(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return ids.sum(1, keepdim=True).float()

    assert raw_answers(Count(), examples, order)[:, 0].tolist() == [6, 1, 4, 2]
