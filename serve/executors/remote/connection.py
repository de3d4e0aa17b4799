"""One connection that carries frames: the same on both sides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import cast

import numpy as np

from serve.executors.remote.messages import Goodbye, encode
from serve.executors.remote.tensors import Buffer
from serve.executors.remote.wire import (
    HEADER_BYTES,
    PREAMBLE_BYTES,
    STRANGER,
    FrameError,
    Header,
    Kind,
    check_preamble,
    control_frame,
    parse_header,
)

__all__ = ["FrameConnection"]

log = logging.getLogger("penstock.remote")

RING_BYTES = 256 * 1024
"""Received at once; a frame that is larger is received straight into memory of its own."""
JOIN_BYTES = 64 * 1024
"""A frame that is smaller is sent in one piece; joining it costs less than more pieces do."""
HIGH_WATER_BYTES = 4 * 1024 * 1024
LINGER_S = 5.0


class FrameConnection(asyncio.BufferedProtocol):
    """Cuts what is received into frames and hands them over, one at a time, on the loop.

    A subclass has ``received``, ``opened`` and ``closed``. A ``FrameError`` that ``received``
    raises ends the connection, with a goodbye that says why. ``limits`` are those of a stranger
    until the subclass lets the peer in. ``greeted``: the preambles were exchanged already.
    """

    def __init__(self, *, greeted: bool) -> None:
        self.limits = STRANGER
        self.bytes_received = 0
        self.writable = True
        self.transport: asyncio.Transport | None = None
        self._greeted = greeted
        self._ring = bytearray(RING_BYTES)
        self._view = memoryview(self._ring)
        self._start = self._end = 0
        # A frame that is received into memory of its own.
        self._large: memoryview | None = None
        self._large_end = 0
        self._large_header: Header | None = None
        self._problem = ""

    # for subclasses

    def opened(self) -> None:
        """Frames can be sent."""
        raise NotImplementedError

    def received(self, header: Header, body: bytes | memoryview) -> None:
        """A whole frame has come; ``body`` is the receiver's to keep."""
        raise NotImplementedError

    def closed(self, reason: str) -> None:
        """The connection is over, whoever ended it."""
        raise NotImplementedError

    def writable_again(self) -> None:
        """``writable`` has become True: the peer has read what waited for it."""

    # sending

    def send(self, frame: bytes) -> None:
        """Send a frame, unless the connection is over."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(frame)

    def send_buffers(self, buffers: Sequence[Buffer], size: int) -> None:
        """Send a frame of several buffers; they must not change until they are sent."""
        if size <= JOIN_BYTES:
            self.send(b"".join(buffers))  # type: ignore[arg-type]
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.writelines([flat for flat in map(_flat, buffers) if len(flat)])

    def end(self, reason: str) -> None:
        """Say why, and hang up when that has been sent. ``closed`` follows."""
        self._problem = self._problem or reason
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(control_frame(Kind.GOODBYE, encode(Goodbye(reason[:1000]))))
            self.transport.close()
            # A peer that does not read would keep it open for ever.
            asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)

    def abort(self, reason: str) -> None:
        """Hang up at once, whatever waits to be sent. ``closed`` follows."""
        self._problem = self._problem or reason
        if self.transport is not None:
            self.transport.abort()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._large = None
        self.closed(self._problem or (str(exc) if exc else "the peer hung up"))

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.writable_again()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._large is not None:
            return self._large[self._large_end :]
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self.bytes_received += nbytes
        try:
            if self._large is not None:
                self._grow_large(nbytes)
            else:
                self._end += nbytes
                self._cut()
        except FrameError as error:
            log.warning("a connection ends: %s", error)
            self.end(str(error))

    def eof_received(self) -> bool:
        return False

    # receiving

    def _grow_large(self, nbytes: int) -> None:
        body, header = self._large, self._large_header
        assert body is not None
        assert header is not None
        self._large_end += nbytes
        if self._large_end == len(body):
            self._large = self._large_header = None
            self.received(header, body)

    def _cut(self) -> None:
        """Hand over the whole frames in the ring, and move what is left to its beginning."""
        if not self._greeted and not self._greet():
            return
        ring, start, end = self._ring, self._start, self._end
        while end - start >= HEADER_BYTES:
            if self.transport is None or self.transport.is_closing():
                start = end = 0
                break
            header = parse_header(ring, start, self.limits)
            size = header.body_bytes
            first = start + HEADER_BYTES
            last = first + size
            if last <= end:
                start = last
                self.received(header, bytes(self._view[first:last]))
            elif size > RING_BYTES // 2:
                self._begin_large(header, size, first)
                start = end = 0
                break
            else:
                break
        if start == end:
            start = end = 0
        elif start:
            ring[: end - start] = ring[start:end]
            start, end = 0, end - start
        self._start, self._end = start, end

    def _begin_large(self, header: Header, size: int, first: int) -> None:
        body = np.empty(size, np.uint8)
        self._large = body.data
        self._large_end = self._end - first
        self._large[: self._large_end] = self._view[first : self._end]
        self._large_header = header

    def _greet(self) -> bool:
        if self._end < PREAMBLE_BYTES:
            return False
        check_preamble(bytes(self._view[:PREAMBLE_BYTES]))
        self._greeted = True
        self._start = PREAMBLE_BYTES
        return True


def _flat(buffer: Buffer) -> bytes | memoryview:
    """What a transport takes: bytes, or a view of bytes."""
    if isinstance(buffer, bytes):
        return buffer
    if isinstance(buffer, memoryview):
        return buffer.cast("B") if buffer.nbytes else b""
    return buffer.reshape(-1).view(np.uint8).data
