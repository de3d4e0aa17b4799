"""What a scenario is given: how long it may take, where it may write, how to start servers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import BenchmarkModel
from benchmarks.process import Server, free_port

__all__ = ["Context", "penstock_command"]


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


@dataclass(frozen=True, slots=True)
class Context:
    """Shared by all scenarios of a run."""

    folder: Path
    penstock: str
    rounds: int
    round_s: int
    seed: int
    say: Callable[[str], None]
    """Tells the terminal what is under way."""

    def write(self, model: BenchmarkModel) -> tuple[Path, Path]:
        """A repository with this one model; returns it and the model's ONNX file."""
        repository = self.folder / f"repository-{model.name}"
        return repository, model.write(repository)

    def start_penstock(self, repository: Path, flags: Sequence[str] = ()) -> Server:
        """Start the server under test; it is not ready yet."""
        port, grpc_port, admin_port = free_port(), free_port(), free_port()
        command = [
            *(self.penstock, "serve", str(repository), "--http-port", str(port)),
            *("--grpc-port", str(grpc_port), "--admin-port", str(admin_port), *flags),
        ]
        log = self.folder / f"penstock-{repository.name}.log"
        return Server("penstock", command, port, log, admin_port)

    def start_floor(self, model: Path) -> Server:
        """Start the bare floor."""
        return self._start_module("floor", "benchmarks.floor.server", str(model))

    def start_sink(self) -> Server:
        """Start the server that throws bodies away."""
        return self._start_module("sink", "benchmarks.floor.sink")

    def _start_module(self, name: str, module: str, *arguments: str) -> Server:
        port = free_port()
        command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
        return Server(name, command, port, self.folder / f"{name}.log")
