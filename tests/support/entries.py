"""Entries and executors for tests of the scheduler, driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from serve.errors import BackendError
from serve.monitoring.metrics import RequestSeries
from serve.scheduling.entry import Entry
from serve.scheduling.execution import Outcome
from serve.tensors import Array, Batch

__all__ = ["ManualExecutor", "make_entry"]

FAR_NS = 10**15


def make_entry(value: float = 0.0, rows: int = 1, **fields: Any) -> Entry:
    """An entry with one FP32 input of ``rows`` × 1, all of ``value``; its result is its outputs."""
    options: dict[str, Any] = {
        "group": (),
        "received_ns": 0,
        "deadline_ns": FAR_NS,
        "series": RequestSeries(),
        "loop": asyncio.get_running_loop(),
    }
    inputs = (np.full((rows, 1), value, np.float32),)
    return Entry(None, lambda _, outputs: outputs, inputs, rows, **(options | fields))


class ManualExecutor:
    """Holds batches until the test finishes them."""

    def __init__(self, slots: int = 1, prefetch: int = 0) -> None:
        self.slots = slots
        self.prefetch = prefetch
        self.batches: list[tuple[Batch, Callable[[Outcome], None]]] = []
        self.closed = False

    def submit(self, batch: Batch, expected_ns: int, done: Callable[[Outcome], None]) -> None:
        self.batches.append((batch, done))

    def finish(self, outputs: list[Array] | None = None) -> None:
        """Answer the oldest batch, with its own inputs doubled unless told otherwise."""
        batch, done = self.batches.pop(0)
        if outputs is None:
            outputs = [batch.inputs[0] * 2]
        done(Outcome(outputs, None, 1000))

    def fail(self, message: str = "broken") -> None:
        """Fail the oldest batch."""
        _, done = self.batches.pop(0)
        done(Outcome(None, BackendError(message), 1000))

    def close(self) -> None:
        self.closed = True
