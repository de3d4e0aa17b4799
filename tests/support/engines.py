"""An engine in a thread of the test's process, whose model does what the test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from serve.backends.base import BackendSource
from serve.clock import monotonic_ns
from serve.config import ModelConfig
from serve.executors.loader import Prepared
from serve.executors.remote.engine import Engine
from serve.executors.remote.engine_options import EngineOptions
from serve.tensors import Array, Batch, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, -1)),), (TensorSpec("y", "FP32", (-1, -1)),), batched=True
)


class Model:
    """Doubles; holds batches back while ``gate`` is shut, and fails on 666."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.parameters: list[object] = []
        self.closed = threading.Event()

    def load(self, source: BackendSource) -> Signature:
        raise NotImplementedError

    def run(self, batch: Batch) -> list[Array]:
        self.entered.release()
        assert self.gate.wait(60)
        self.parameters.append(batch.parameters)
        (x,) = batch.inputs
        if (x == 666).any():
            raise ArithmeticError("666")
        return [x * np.float32(2)]

    def platform(self) -> str:
        return "test"

    def close(self) -> None:
        self.closed.set()


def prepared(folder: Path, model: Model, **settings: Any) -> Prepared:
    """A version of a model that needs no loading."""
    artefact = folder / "1" / "model.py"
    artefact.parent.mkdir(parents=True, exist_ok=True)
    artefact.write_text("model")
    source = BackendSource("m", 1, folder, artefact, ModelConfig(**settings))
    return Prepared(source, model, "python", SIGNATURE, 64, {1: 1000, 64: 2000})


@contextmanager
def an_engine(
    folder: Path, model: Model, replica: str = "r", *, instances: int = 1, **options: Any
) -> Iterator[Engine]:
    """Run an engine until the block ends; it has a Unix socket unless it has a host."""
    if "host" not in options:
        options.setdefault("socket", folder / "sockets" / f"{replica}.sock")
    ready = prepared(folder, model, resources={"instances": instances})
    engine = Engine(ready, EngineOptions(**options), replica=replica, clock=monotonic_ns)
    engine.start()
    try:
        yield engine
    finally:
        model.gate.set()
        engine.close()
