"""What is learnt from and what learns, in one of two forms: prepared rows, or a network's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from torch import Tensor, nn

from optimize.convert.torch_module import NoOnnx, export_program, write_onnx
from optimize.distil.answer import Served, raw_of
from optimize.distil.examples import Arguments, Matrix
from optimize.distil.follow import following
from optimize.distil.loop import Examples
from optimize.distil.prepare import fit, fit_image
from optimize.distil.served import write_student
from optimize.distil.students import cnn, fewer_layers, mlp, own
from optimize.distil.target import Target
from optimize.distil.teach import Lessons
from optimize.errors import OptimizeError
from optimize.source.load import function_at
from optimize.source.network import Network
from optimize.steps.base import MODEL, Teaching
from optimize.steps.distil import Distil
from serve.backends.tokenizer import COLUMNS
from serve.tensors import Array

__all__ = ["Course", "course_of"]


@dataclass(frozen=True)
class Course:
    """Rows to learn from and to be judged by; ``make`` gives a student as untrained as it begins.

    A student gives raw answers; ``served`` is the same network with the judged output in place of
    them, and ``write`` its whole graph.
    """

    lessons: Examples
    evaluation: Examples
    make: Callable[[], nn.Module]
    served: Callable[[nn.Module], nn.Module]
    write: Callable[[nn.Module, Path], None]


def course_of(
    step: Distil,
    teaching: Teaching,
    lessons: Lessons,
    evaluation: Mapping[str, Array],
    target: Target,
) -> Course:
    """The course of a step's parameters.

    Raises:
        OptimizeError: the student cannot be made for such an original.
    """
    original = teaching.original()
    own_network = ".py:" in step.student and isinstance(original, Network)
    if step.student == "layers" or own_network:
        return _of_network(step, teaching, original, lessons, evaluation, target)
    if isinstance(original, Network) and original.text is not None:
        raise OptimizeError(
            step="distil",
            problem=f"the original reads text, and {step.student} is not of tokens",
            remedy="use student: layers, or file.py:function that returns a network of tokens",
        )
    return _of_rows(step, teaching, lessons, evaluation, target)


def _of_rows(
    step: Distil,
    teaching: Teaching,
    lessons: Lessons,
    evaluation: Mapping[str, Array],
    target: Target,
) -> Course:
    image = step.student == "cnn"
    prepare = (
        fit_image(lessons.inputs, lessons.arrays)
        if image
        else fit(lessons.inputs, lessons.arrays, step.bins)
    )
    export = onnx.load(teaching.export / MODEL)
    follow = following(export, teaching.output, lessons.answers, lessons.classes)

    def make() -> nn.Module:
        if step.student == "mlp":
            return mlp(prepare.width, step.hidden, target.size)
        if image:
            return cnn(step.image_shape, step.channels, prepare.width, target.size)
        function = function_at(teaching.folder, step.student, "distil")
        return own(function, prepare.width, target.size)

    def write(student: nn.Module, path: Path) -> None:
        write_student(
            Served(student, target), prepare, lessons.inputs, export, teaching.output, follow, path
        )

    return Course(
        Matrix(prepare(lessons.arrays)),
        Matrix(prepare(evaluation)),
        make,
        lambda student: Served(student, target),
        write,
    )


def _of_network(
    step: Distil,
    teaching: Teaching,
    original: Any,
    lessons: Lessons,
    evaluation: Mapping[str, Array],
    target: Target,
) -> Course:
    if not isinstance(original, Network):
        raise OptimizeError(
            step="distil",
            problem="student: layers keeps layers of a torch.nn.Module, and the original is none",
            remedy="use student: mlp, or file.py:function that returns a network of your own",
        )
    network: Network = original
    encoder = network.encoder()
    arrays = network.tokenised(lessons.arrays, encoder)
    variable = {**network.variable, **dict.fromkeys(COLUMNS, (1,))} if encoder else network.variable

    def make() -> nn.Module:
        if step.student == "layers":
            module = fewer_layers(network.module, step.keep, step.count)
        else:
            module = function_at(teaching.folder, step.student, "distil")(network.module)
        return _Raw(module, network, tuple(arrays), teaching.output, target)

    def write(student: nn.Module, path: Path) -> None:
        alone = replace(network, module=student.module)
        try:
            write_onnx(alone, export_program(alone, evaluation), path)
        except NoOnnx as error:
            raise OptimizeError(
                step="distil",
                problem=f"ONNX cannot express the student: {error}",
                remedy="use another operation in it",
            ) from error

    return Course(
        Arguments(arrays, variable),
        Arguments(network.tokenised(evaluation, encoder), variable),
        make,
        lambda student: _Answer(student),  # type: ignore[arg-type]
        write,
    )


class _Raw(nn.Module):
    """A network called as the teacher is, with a raw answer."""

    def __init__(
        self, module: nn.Module, like: Network, names: tuple[str, ...], judged: str, target: Target
    ) -> None:
        super().__init__()
        self.module = module
        self._like, self._names, self._judged, self._target = like, names, judged, target

    def answer(self, *arguments: Tensor) -> Tensor:
        """The judged output."""
        named = self._like.named(self.module(**dict(zip(self._names, arguments, strict=True))))
        if self._judged not in named:
            raise OptimizeError(
                step="distil",
                problem=f"the student gives no output {self._judged!r}",
                remedy="return from it what the teacher returns",
            )
        found: Tensor = named[self._judged]
        return found

    def forward(self, *arguments: Tensor) -> Tensor:
        """[rows, size]."""
        return raw_of(self.answer(*arguments), self._target)


class _Answer(nn.Module):
    """The same network with the judged output itself."""

    def __init__(self, student: _Raw) -> None:
        super().__init__()
        self.student = student

    def forward(self, *arguments: Tensor) -> Tensor:
        """[rows, ...]."""
        return self.student.answer(*arguments)
