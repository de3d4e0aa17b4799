"""gRPC ModelStreamInfer: a slot is a stream with at most one request under way."""

from __future__ import annotations

import asyncio
import contextlib

import grpc

from benchmarks.loadgen.grpc_channels import STREAM, Channels, status_of
from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import GRPC, IDLE, LOST, Owner
from benchmarks.payloads import Payload

__all__ = ["StreamWire"]

# An error then ends the stream with its status, which its text alone does not tell.
_METADATA = (("triton_grpc_error", "true"),)
_ERROR_TAG = b"\x0a"  # ModelStreamInferResponse.error_message, first in a message that has it
_UNKNOWN = GRPC + 2


class Stream:
    """One bidirectional stream."""

    def __init__(
        self,
        owner: Owner,
        payloads: tuple[Payload, ...],
        call: grpc.aio.StreamStreamCall,
    ) -> None:
        self._owner = owner
        self._payloads = payloads
        self._call = call
        self._sending: asyncio.Task[None] | None = None
        self._closed = False
        self._number = IDLE

    def send(self, number: int) -> None:
        """Send request ``number`` on the stream."""
        self._number = number
        self._sending = asyncio.get_running_loop().create_task(self._exchange(number))

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        self._call.cancel()
        if self._sending is not None:
            self._sending.cancel()

    async def _exchange(self, number: int) -> None:
        try:
            await self._call.write(self._payloads[number % len(self._payloads)].body)
            answer = await self._call.read()
        except grpc.aio.AioRpcError as error:
            self._end(number, status_of(error))
            return
        except asyncio.InvalidStateError:  # written to a stream that has ended meanwhile
            self._end(number, LOST)
            return
        if answer is grpc.aio.EOF:
            self._end(number, LOST)
            return
        status = _UNKNOWN if answer.startswith(_ERROR_TAG) else GRPC
        self._owner.answered(self, number, status, True)

    def _end(self, number: int, status: int) -> None:
        """The stream is over: its request has its status, and its place is free for another."""
        if self._closed:
            return
        self._closed = True
        self._owner.answered(None, number, status, True)
        self._owner.lost(self, IDLE)


class StreamWire:
    """Streams to one gRPC port."""

    def __init__(self, spec: LoadSpec, owner: Owner) -> None:
        self._owner = owner
        self._payloads = spec.payloads
        self._channels = Channels(spec)

    async def open(self) -> Stream:
        """See ``Wire.open``; the stream is open when this returns."""
        channel = await self._channels.next()
        call = channel.stream_stream(STREAM)(metadata=_METADATA)
        try:
            await call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            raise ConnectionError(error.details()) from error
        return Stream(self._owner, self._payloads, call)

    async def close(self) -> None:
        """See ``Wire.close``."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._channels.close()
