"""A request as the scheduler sees it: what to run, until when, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

import msgspec

from serve.errors import PenstockError
from serve.monitoring.metrics import RequestSeries
from serve.tensors import Array, InferRequest, InferResponse, Parameter

__all__ = ["Answerer", "Entry", "Sink"]


class Sink(Protocol):
    """Who waits for one answer.

    One of the two is called, once, on the event loop, unless the entry is cancelled first;
    perhaps before the call that hands the request over returns. Neither may raise.
    """

    def answered(self, response: InferResponse) -> None:
        """The answer is there."""

    def failed(self, error: PenstockError) -> None:
        """There will be no answer."""


class Answerer(Protocol):
    """Makes answers of a batch's outputs, for all entries at once that share it."""

    def answer(self, entries: Sequence[Entry], outputs: list[Array]) -> None:
        """Give each entry its own part of ``outputs``, and mark it done; it may not raise.

        The entries have consecutive rows of the outputs, in order, all of them. A single entry
        has the outputs as they are. Entries that are done already are passed over.
        """


class Entry(msgspec.Struct, eq=False, gc=False):
    """Payload and metadata of one request.

    It is answered once: the first of answer, error and cancellation sets ``done``, and whatever
    comes later is ignored. ``group`` tells which entries may share a batch: those of equal inner
    shapes. ``inputs`` are the entry's own rows, unless ``start`` says where those are in arrays
    that it shares with others. ``sequence`` is 0 while the entry is not queued.
    """

    # per request, fixed
    request: InferRequest
    sink: Sink
    answerer: Answerer
    inputs: tuple[Array, ...]
    rows: int
    group: Hashable
    received_ns: int
    deadline_ns: int
    series: RequestSeries
    start: int = -1
    priority: int = 1
    parameters: Mapping[str, Parameter] | None = None
    # set by the batcher and its queue
    done: bool = False
    enqueued_ns: int = 0
    sequence: int = 0
    withdraw: Callable[[Entry], None] | None = None

    def fail(self, error: PenstockError) -> bool:
        """Answer with an error; False if it had been answered or cancelled."""
        if self.done:
            return False
        self.done = True
        self.sink.failed(error)
        return True

    def cancel(self) -> None:
        """The caller is gone: tell nobody, and leave the queue. Batch mates are not touched."""
        if not self.done:
            self.done = True
            if self.withdraw is not None:
                self.withdraw(self)
