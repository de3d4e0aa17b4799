"""An answer that can be awaited, for callers that wait for one at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from serve.errors import PenstockError
from serve.gateway.interface import Ticket
from serve.tensors import InferResponse

__all__ = ["FutureAnswer"]


class FutureAnswer(asyncio.Future[InferResponse]):
    """A ``Sink`` that is the future of its response; cancelling it withdraws the request.

    ``ticket`` is set by whoever submits the request.
    """

    ticket: Ticket | None = None

    def answered(self, response: InferResponse) -> None:
        """See ``Sink``."""
        self.ticket = None  # the ticket holds this: together they would wait for the collector
        if not self.done():
            self.set_result(response)

    def failed(self, error: PenstockError) -> None:
        """See ``Sink``."""
        self.ticket = None
        if not self.done():
            self.set_exception(error)

    def cancel(self, msg: Any = None) -> bool:
        """Withdraw the request: the caller is gone."""
        cancelled = super().cancel(msg)
        if cancelled and self.ticket is not None:
            self.ticket.cancel()
            self.ticket = None
        return cancelled
