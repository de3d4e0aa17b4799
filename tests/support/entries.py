"""Entries and executors for tests of the scheduler, driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from serve.errors import BackendError, PenstockError
from serve.monitoring.metrics import RequestSeries
from serve.scheduling.entry import Entry
from serve.scheduling.execution import Outcome
from serve.tensors import Array, Batch, InferRequest

__all__ = ["OWN_ROWS", "ManualExecutor", "OwnRows", "make_entry"]

FAR_NS = 10**15


class Waiting(asyncio.Future[Any]):
    """A ``Sink`` that a test awaits."""

    answered = asyncio.Future.set_result
    failed = asyncio.Future.set_exception


class OwnRows:
    """An ``Answerer`` whose answers are an entry's own rows of the outputs."""

    def answer(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        start = 0
        for entry in entries:
            stop = start + entry.rows
            if not entry.done:
                entry.done = True
                entry.sink.answered([output[start:stop] for output in outputs])  # type: ignore[arg-type]
            start = stop


OWN_ROWS = OwnRows()
REQUEST = InferRequest("m", "", [])


def make_entry(value: float = 0.0, rows: int = 1, **fields: Any) -> Entry:
    """An entry with one FP32 input of ``rows`` × 1, all of ``value``; its answer is its outputs."""
    options: dict[str, Any] = {
        "answerer": OWN_ROWS,
        "group": (),
        "received_ns": 0,
        "deadline_ns": FAR_NS,
        "series": RequestSeries(),
    }
    options["inputs"] = (np.full((rows, 1), value, np.float32),)
    sink = Waiting(loop=asyncio.get_running_loop())
    return Entry(REQUEST, sink, rows=rows, **(options | fields))


class ManualExecutor:
    """Holds batches until the test finishes them."""

    def __init__(self, slots: int = 1, prefetch: int = 0, elsewhere: bool = False) -> None:
        self.slots = slots
        self.prefetch = prefetch
        self.elsewhere = elsewhere
        self.eager = False
        self.room: Callable[[], None] = lambda: None
        self.withdrawn: list[Callable[[Outcome], None]] = []
        self.batches: list[tuple[Batch, Callable[[Outcome], None]]] = []
        self.closed = False
        self.starvations = 0

    def submit(self, batch: Batch, quick_ns: int, done: Callable[[Outcome], None]) -> None:
        self.batches.append((batch, done))

    def attach(self, room: Callable[[], None]) -> None:
        self.room = room

    def starved(self) -> None:
        self.starvations += 1

    def withdraw(self, done: Callable[[Outcome], None]) -> None:
        self.withdrawn.append(done)

    def finish(self, outputs: list[Array] | None = None) -> None:
        """Answer the oldest batch, with its own inputs doubled unless told otherwise."""
        batch, done = self.batches.pop(0)
        if outputs is None:
            outputs = [batch.inputs[0] * 2]
        done(Outcome(outputs, None, 1000))

    def fail(self, message: str = "broken", error: PenstockError | None = None) -> None:
        """Fail the oldest batch."""
        _, done = self.batches.pop(0)
        done(Outcome(None, error or BackendError(message), 1000))

    def close(self) -> None:
        self.closed = True
