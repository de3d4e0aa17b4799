"""What a scenario is given: the server under test, where it may write, whom to tell of it."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.inputs.source import Inputs
from benchmarks.models import BenchmarkModel
from benchmarks.noise import Limits
from benchmarks.process import Server, free_port
from benchmarks.subject import Given, Launch, Served, Subject, UnsupportedError, serve, start

__all__ = ["Context", "penstock_command"]

Progress = Callable[[str, float | None], None]
"""Told what is under way, and the part of it that is over (0 to 1; None: unknown)."""


def penstock_command() -> str:
    """The ``penstock`` of this environment, or the one on the path.

    Raises:
        FileNotFoundError: there is none.
    """
    beside = Path(sys.executable).parent / "penstock"
    found = str(beside) if beside.exists() else shutil.which("penstock")
    if not found:
        raise FileNotFoundError("no `penstock` command: run `make setup` first")
    return found


def silent(what: str, part: float | None) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all scenarios of a run."""

    folder: Path
    """Where scenarios write: logs of servers, repositories of benchmark models."""
    subject: Subject
    """The server under test: the candidate."""
    baseline: Subject | None = None
    """What it is compared with, turn by turn, by scenarios that compare."""
    model: str = ""
    """The model that requests go to; empty: the first one that is ready."""
    inputs: Inputs = field(default_factory=Inputs)
    seed: int = 20261123
    progress: Progress = silent
    limits: Limits = field(default_factory=Limits)
    """Up to where a round or a probe counts as measured in quiet."""

    @contextlib.contextmanager
    def candidate(self) -> Iterator[Served]:
        """The server under test, ready."""
        with serve(self.subject, self.folder / "candidate.log") as server:
            yield server

    @contextlib.contextmanager
    def reference(self) -> Iterator[Served]:
        """The server it is compared with, ready.

        Raises:
            UnsupportedError: none is given.
        """
        if self.baseline is None:
            raise UnsupportedError("there is no baseline to compare with: name one")
        with serve(self.baseline, self.folder / "baseline.log") as server:
            yield server

    def launch(self) -> Launch:
        """How to start the server under test.

        Raises:
            UnsupportedError: it runs already and is not ours to start.
        """
        if isinstance(self.subject, Given):
            raise UnsupportedError("the server was not started by this run, and has to be for this")
        return self.subject

    @contextlib.contextmanager
    def serving(self, model: BenchmarkModel, flags: Sequence[str] = ()) -> Iterator[Served]:
        """The server under test with a benchmark model in place of its own repository."""
        repository, _ = self.write(model)
        subject = replace(self.launch(), repository=repository)
        subject = replace(subject, flags=(*subject.flags, *flags))
        with serve(subject, self.folder / f"{repository.name}.log") as server:
            yield server

    def start(self, repository: Path | None = None) -> Server:
        """Start the server under test; it is not ready yet.

        Raises:
            UnsupportedError: it is not ours to start.
        """
        subject = self.launch()
        if repository is not None:
            subject = replace(subject, repository=repository)
        return start(subject, self.folder / "start.log")

    def write(self, model: BenchmarkModel) -> tuple[Path, Path]:
        """A repository with this one model; returns it and the model's ONNX file."""
        repository = self.folder / f"repository-{model.name}"
        return repository, model.write(repository)

    def start_floor(self, model: Path) -> Server:
        """Start the bare floor."""
        return self._start_module("floor", "benchmarks.floor.server", str(model))

    def start_sink(self) -> Server:
        """Start the server that throws bodies away."""
        return self._start_module("sink", "benchmarks.floor.sink")

    def start_eager(self, teacher: Path) -> Server:
        """Start the plain web server around a model in PyTorch eager mode."""
        return self._start_module("eager", "benchmarks.eager.server", str(teacher))

    def _start_module(self, name: str, module: str, *arguments: str) -> Server:
        port = free_port()
        command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
        return Server(name, command, port, self.folder / f"{name}.log")
