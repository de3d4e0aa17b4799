from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from optimize.convert.program import program_signature  # noqa: E402
from optimize.errors import OptimizeError  # noqa: E402
from serve.backends.pt2_file import Pt2Tensor  # noqa: E402

DYNAMIC = torch.export.Dim.DYNAMIC


def exported(forward: Any, batch: Any = DYNAMIC, **inputs: Any) -> Any:
    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: Any, y: Any = None) -> Any:
            return forward(self, x) if y is None else forward(self, x, y)

    shapes = {name: {0: batch} for name in inputs}
    return torch.export.export(Module(), (), inputs, dynamic_shapes=shapes, strict=False)


def ones(columns: int = 2) -> Any:
    return torch.ones(3, columns)


def test_batch_is_one_word_and_its_guessed_least_is_one_row() -> None:
    found = program_signature(exported(lambda self, x, y: (x * 2, y), x=ones(), y=ones(4)))
    assert found.inputs == (
        Pt2Tensor(name="x", datatype="FP32", shape=("batch", 2)),
        Pt2Tensor(name="y", datatype="FP32", shape=("batch", 4)),
    )
    assert [tensor.name for tensor in found.outputs] == ["output_0", "output_1"]
    assert found.outputs[0].shape == ("batch", 2)
    assert found.ranges == {"batch": (1, None)}


def test_range_that_somebody_set_is_kept() -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    found = program_signature(exported(lambda self, x: {"y": x + 1}, batch, x=ones()))
    assert found.ranges == {"batch": (1, 64)}
    assert found.outputs[0].name == "y"


def test_names_may_be_given() -> None:
    program = exported(lambda self, x: x + 1, x=ones())
    assert program_signature(program).outputs[0].name == "output"
    assert program_signature(program, ["probability"]).outputs[0].name == "probability"
    with pytest.raises(OptimizeError, match="1 outputs, and 2 are named"):
        program_signature(program, ["a", "b"])


def writes(self: Any, x: Any) -> Any:
    x.add_(1)
    return x * 2


def remembers(self: Any, x: Any) -> Any:
    self.count.add_(1)
    return x + self.count


@pytest.mark.parametrize(
    ("forward", "problem"), [(writes, "writes to its input 'x'"), (remembers, "the buffer 'count'")]
)
def test_programs_that_change_what_is_not_theirs_are_refused(forward: Any, problem: str) -> None:
    with pytest.raises(OptimizeError, match=problem):
        program_signature(exported(forward, x=ones()))


def test_datatypes_that_the_protocol_lacks_are_refused() -> None:
    program = exported(lambda self, x: torch.complex(x, x), x=ones())
    with pytest.raises(OptimizeError, match="complex64"):
        program_signature(program)
