from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from optimize.distil.students import cnn, fewer_layers, mlp, own
from optimize.errors import OptimizeError


class Tower(nn.Module):
    """Layers that each add their own number."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(3, 2)
        self.inner = nn.Module()
        self.inner.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(6))
        for number, layer in enumerate(self.inner.layers):
            nn.init.eye_(layer.weight)
            nn.init.constant_(layer.bias, 10.0**number)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.inner.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize(
    ("keep", "count", "added"),
    [((0, 5), None, 100001), ((), 2, 100001), ((), 3, 100101), ((), 1, 1), ((), None, 100101)],
)
def test_fewer_layers_are_those_of_the_teacher(
    keep: tuple[int, ...], count: int | None, added: int
) -> None:
    teacher = Tower()
    student = fewer_layers(teacher, keep, count)
    assert student(torch.zeros(1, 2))[0].tolist() == [added, added]
    assert teacher(torch.zeros(1, 2))[0].tolist() == [111111, 111111]
    assert not student.words.weight.requires_grad


@pytest.mark.parametrize("keep", [(0, 6), (1, 1), (-1,)])
def test_fewer_layers_says_which_there_are(keep: tuple[int, ...]) -> None:
    with pytest.raises(OptimizeError, match=r"inner\.layers, which has 6.*from 0 to 5"):
        fewer_layers(Tower(), keep, None)


def test_fewer_layers_refuses_a_teacher_without_layers() -> None:
    with pytest.raises(OptimizeError, match="Linear has no list of like layers"):
        fewer_layers(nn.Linear(2, 2), (), None)


def test_mlp_and_cnn_answer_in_the_shape_asked() -> None:
    rows = torch.zeros(5, 48)
    assert mlp(48, (7, 3), 2)(rows).shape == (5, 2)
    assert cnn((3, 4, 4), (2, 4, 4), 48, 10)(rows).shape == (5, 10)
    assert cnn((6, 8), (2,), 48, 1)(rows).shape == (5, 1)


@pytest.mark.parametrize("shape", [(), (7, 7), (48,)])
def test_cnn_says_how_many_numbers_a_row_has(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptimizeError, match="a row has 48 numbers"):
        cnn(shape, (4,), 48, 10)


def test_own_takes_what_the_function_returns() -> None:
    assert isinstance(own(nn.Linear, 3, 2), nn.Linear)


def test_own_says_what_the_student_should_give() -> None:
    with pytest.raises(OptimizeError, match=r"gives \[2, 3\].*\[rows, 2\]"):
        own(lambda width, size: nn.Linear(width, 3), 4, 2)
    with pytest.raises(OptimizeError, match="gives int"):
        own(lambda width, size: width, 4, 2)  # type: ignore[arg-type, return-value]
