"""A message of a stream between its arrival and its answer."""

from __future__ import annotations

import asyncio

from serve.tensors import InferRequest, InferResponse
from serve.transport.grpc.intake import Lease

__all__ = ["Refused", "Started"]


class Started:
    """A request that the data plane took; its answer is owed."""

    __slots__ = ("_held_bytes", "_lease", "future", "request")

    def __init__(
        self,
        request: InferRequest,
        future: asyncio.Future[InferResponse],
        lease: Lease,
        held_bytes: int,
    ) -> None:
        """``held_bytes``: those of the message, which the lease counts already."""
        self.request = request
        self.future = future
        self._lease: Lease | None = lease
        self._held_bytes = held_bytes
        future.add_done_callback(self._answered)

    def _answered(self, future: asyncio.Future[InferResponse]) -> None:
        """Count the answer too: it may wait long for a client that does not read."""
        if self._lease is None or future.cancelled() or future.exception() is not None:
            return
        size_bytes = sum(tensor.array.nbytes for tensor in future.result().outputs)
        self._held_bytes += size_bytes
        self._lease.hold(size_bytes)

    def release(self) -> None:
        """Give back what was counted: the answer is sent."""
        if self._lease is not None:
            self._lease.hold(-self._held_bytes)
            self._lease = None

    def withdraw(self) -> None:
        """Nobody will be answered."""
        self.release()
        if not self.future.cancel() and not self.future.cancelled():
            self.future.exception()  # seen: asyncio would complain about it otherwise


class Refused:
    """A message that was answered with an error at once."""

    __slots__ = ("error", "model_name", "request_id")

    def __init__(self, request_id: str, model_name: str, error: Exception) -> None:
        self.request_id = request_id
        self.model_name = model_name
        self.error = error

    def release(self) -> None:
        """Nothing is held for it."""

    def withdraw(self) -> None:
        """Nothing was begun."""
