"""gRPC ModelInfer: a slot is room for one call; calls share a few HTTP/2 connections."""

from __future__ import annotations

from benchmarks.loadgen.grpc_channels import UNARY, Channels, head, message
from benchmarks.loadgen.http2 import Http2Connection
from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import GRPC, IDLE, LOST, Owner

__all__ = ["UnaryWire"]

Calls = tuple[tuple[bytes, bytes], ...]
"""Header block and message of each payload."""


class Call:
    """One call at a time, on one connection."""

    connection: Http2Connection

    def __init__(self, owner: Owner, calls: Calls) -> None:
        self._owner = owner
        self._calls = calls
        self._number = IDLE

    def send(self, number: int) -> None:
        """Start the call with request ``number``."""
        self._number = number
        block, text = self._calls[number % len(self._calls)]
        self.connection.open(self, block, text, end=True)

    def close(self) -> None:
        """Nothing to do: the connections end with the wire."""
        self.connection.sinks.discard(self)

    def received(self, data: bytes) -> None:
        """See ``Sink.received``: the status is all that counts."""

    def ended(self, status: int | None) -> None:
        """See ``Sink.ended``."""
        number, self._number = self._number, IDLE
        result = LOST if status is None else GRPC + status
        if self.connection.is_left:
            self._owner.answered(None, number, result, True)
            self.left()
        else:
            self._owner.answered(self, number, result, True)

    def left(self) -> None:
        """See ``Sink.left``: a call under way may still be answered, and leaves then."""
        if self._number == IDLE and self in self.connection.sinks:
            self.connection.sinks.discard(self)
            self._owner.lost(self, IDLE)


class UnaryWire:
    """Calls to one gRPC port."""

    def __init__(self, spec: LoadSpec, owner: Owner) -> None:
        self._owner = owner
        self._calls = tuple(
            (head(spec.target, UNARY, payload.headers), message(payload.body))
            for payload in spec.payloads
        )
        self._channels = Channels(spec)

    async def open(self) -> Call:
        """See ``Wire.open``."""
        call = Call(self._owner, self._calls)
        call.connection = await self._channels.join(call)
        return call

    async def close(self) -> None:
        """See ``Wire.close``."""
        await self._channels.close()
