"""A request as the scheduler sees it: what to run, until when, and whom to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from serve.errors import PenstockError
from serve.monitoring.metrics import RequestSeries
from serve.tensors import Array, Parameter

__all__ = ["Entry", "Respond"]

Respond = Callable[[Any, list[Array]], Any]
"""(payload, outputs) -> the entry's result; may raise PenstockError, which becomes its error."""


class Entry(asyncio.Future[Any]):
    """Payload and metadata of one request, and the future that its caller awaits.

    It is a future itself, rather than holding one, because two objects a request cost more
    than one. Completing it twice is impossible: the first of answer, error and cancellation wins,
    and the others are ignored. Cancelling it withdraws it from its queue.

    ``group`` tells which entries may share a batch: those of equal inner shapes.
    """

    # per request, fixed
    payload: Any
    respond: Respond
    inputs: tuple[Array, ...]
    rows: int
    group: Hashable
    priority: int
    received_ns: int
    deadline_ns: int
    parameters: Mapping[str, Parameter] | None
    series: RequestSeries
    # set by the batcher and its queue; ``sequence`` is 0 while the entry is not queued
    enqueued_ns: int
    sequence: int
    withdraw: Callable[[Entry], None] | None

    __slots__ = (
        "deadline_ns",
        "enqueued_ns",
        "group",
        "inputs",
        "parameters",
        "payload",
        "priority",
        "received_ns",
        "respond",
        "rows",
        "sequence",
        "series",
        "withdraw",
    )

    def __init__(
        self,
        payload: Any,
        respond: Respond,
        inputs: tuple[Array, ...],
        rows: int,
        *,
        group: Hashable,
        received_ns: int,
        deadline_ns: int,
        series: RequestSeries,
        loop: asyncio.AbstractEventLoop,
        priority: int = 0,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        super().__init__(loop=loop)
        self.payload = payload
        self.respond = respond
        self.inputs = inputs
        self.rows = rows
        self.group = group
        self.priority = priority
        self.received_ns = received_ns
        self.deadline_ns = deadline_ns
        self.parameters = parameters
        self.series = series
        self.enqueued_ns = 0
        self.sequence = 0
        self.withdraw = None

    def complete(self, outputs: list[Array]) -> bool:
        """Answer with this entry's own rows; False if it had been answered or cancelled."""
        if self.done():
            return False
        try:
            self.set_result(self.respond(self.payload, outputs))
        except PenstockError as error:
            self.set_exception(error)
        return True

    def fail(self, error: PenstockError) -> bool:
        """Answer with an error; False if it had been answered or cancelled."""
        if self.done():
            return False
        self.set_exception(error)
        return True

    def cancel(self, msg: Any = None) -> bool:
        """Withdraw: the caller is gone. Batch mates are not touched."""
        cancelled = super().cancel(msg)
        if cancelled and self.withdraw is not None:
            self.withdraw(self)
        return cancelled
