"""gRPC ModelStreamInfer: a slot is a stream with at most one request under way."""

from __future__ import annotations

from benchmarks.loadgen.grpc_channels import STREAM, Channels, head, message
from benchmarks.loadgen.http2 import Http2Connection, Stream
from benchmarks.loadgen.http2_frames import MESSAGE_HEAD
from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import GRPC, IDLE, LOST, Owner

__all__ = ["StreamWire"]

# An error then ends the stream with its status, which its text alone does not tell.
_METADATA = (("triton_grpc_error", "true"),)
_ERROR_TAG = 0x0A  # ModelStreamInferResponse.error_message, first in a message that has it
_UNKNOWN = GRPC + 2


class InferStream:
    """One bidirectional stream."""

    connection: Http2Connection
    _stream: Stream

    def __init__(self, owner: Owner, messages: tuple[bytes, ...]) -> None:
        self._owner = owner
        self._messages = messages
        self._buffer = b""
        self._number = IDLE

    def begin(self, connection: Http2Connection, block: bytes) -> None:
        """Open the stream."""
        self.connection = connection
        self._stream = connection.open(self, block)

    def send(self, number: int) -> None:
        """Send request ``number`` on the stream."""
        self._number = number
        self.connection.send(self._stream, self._messages[number % len(self._messages)])

    def close(self) -> None:
        """Nothing to do: the streams end with the wire's connections."""
        self.connection.sinks.discard(self)

    def received(self, data: bytes) -> None:
        """See ``Sink.received``: a message is an answer."""
        data = self._buffer + data
        while len(data) >= MESSAGE_HEAD.size:
            _, length = MESSAGE_HEAD.unpack_from(data)
            end = MESSAGE_HEAD.size + length
            if len(data) < end:
                break
            failed = length > 0 and data[MESSAGE_HEAD.size] == _ERROR_TAG
            data = data[end:]
            if self._number != IDLE:  # an answer more than was asked for is none
                self._answered(_UNKNOWN if failed else GRPC)
        self._buffer = data

    def ended(self, status: int | None) -> None:
        """See ``Sink.ended``: its request has that status, and its place is free for another."""
        number, self._number = self._number, IDLE
        if number != IDLE:
            # OK without an answer is none.
            self._owner.answered(None, number, GRPC + status if status else LOST, True)
        self.left()

    def left(self) -> None:
        """See ``Sink.left``: an answer under way may still come, and the stream ends then."""
        if self._number == IDLE and self in self.connection.sinks:
            self.connection.sinks.discard(self)
            self._owner.lost(self, IDLE)

    def _answered(self, status: int) -> None:
        number, self._number = self._number, IDLE
        if self.connection.is_left:
            self._owner.answered(None, number, status, True)
            self.left()
        else:
            self._owner.answered(self, number, status, True)


class StreamWire:
    """Streams to one gRPC port."""

    def __init__(self, spec: LoadSpec, owner: Owner) -> None:
        self._owner = owner
        self._messages = tuple(message(payload.body) for payload in spec.payloads)
        self._block = head(spec.target, STREAM, _METADATA)
        self._channels = Channels(spec)

    async def open(self) -> InferStream:
        """See ``Wire.open``."""
        stream = InferStream(self._owner, self._messages)
        stream.begin(await self._channels.join(stream), self._block)
        return stream

    async def close(self) -> None:
        """See ``Wire.close``."""
        await self._channels.close()
