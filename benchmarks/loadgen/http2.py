"""One HTTP/2 connection of a gRPC client, cheap enough to drive a fast server.

A request costs it some 10 µs of CPU where the gRPC library takes 200. What makes it so: header
blocks made beforehand, a decoder that never keeps a table (we ask the server not to use one), so
that blocks seen before are looked up by their bytes; one write a turn of the loop. It does what a
server may ask of a client: flow control, settings, pings, resets, GOAWAY.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, cast

from benchmarks.loadgen.http2_frames import (
    DEFAULT_FRAME,
    DEFAULT_WINDOW,
    HEAD,
    MAX_WINDOW,
    PREFACE,
    Flag,
    Kind,
    Setting,
    decode_status,
    frame,
    parse_settings,
    parse_uint,
    settings,
    strip,
    window_update,
)

__all__ = ["Http2Connection", "Stream", "connect"]

CONNECT_S = 10.0
REFILL_BYTES = 2**29
MEMO_BLOCKS = 1024
_UNBOUNDED = 2**31


class Sink(Protocol):
    """Who is told what comes on a stream."""

    def received(self, data: bytes) -> None:
        """A piece of the answer's body."""

    def ended(self, status: int | None) -> None:
        """The stream is over, with a gRPC status, or (None) without one: reset, or lost."""

    def left(self) -> None:
        """The connection takes no new streams: it is lost, or the server has said goodbye."""


class Stream:
    """One stream; made by ``Http2Connection.open``."""

    __slots__ = ("number", "received", "sink", "window")

    def __init__(self, number: int, sink: Sink, window: int) -> None:
        self.number = number
        self.sink = sink
        self.window = window
        self.received = 0


class Http2Connection(asyncio.Protocol):
    """Streams to one server. ``sinks`` are told when it is left, with a stream or without one."""

    def __init__(self) -> None:
        # Shared
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sinks: set[Sink] = set()
        self.max_streams = _UNBOUNDED
        self.is_left = False
        # Out
        self._out: list[bytes] = []
        self._next_number = 1
        self._window = DEFAULT_WINDOW
        self._stream_window = DEFAULT_WINDOW
        self._max_frame = DEFAULT_FRAME
        self._blocked: deque[tuple[Stream, memoryview, bool]] = deque()
        # In
        self._streams: dict[int, Stream] = {}
        self._buffer = b""
        self._received = 0
        self._block = b""
        self._block_ends_stream = False
        self._statuses: dict[bytes, int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        own = {
            Setting.HEADER_TABLE_SIZE: 0,
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW: MAX_WINDOW,
        }
        grown = window_update(0, MAX_WINDOW - DEFAULT_WINDOW)
        self._transport.write(PREFACE + settings(own) + grown)

    def open(self, sink: Sink, block: bytes, message: bytes = b"", end: bool = False) -> Stream:
        """A new stream: its headers, and the message if there is one; ``end``: the last."""
        stream = Stream(self._next_number, sink, self._stream_window)
        self._next_number += 2
        self._streams[stream.number] = stream
        self._write(frame(Kind.HEADERS, Flag.END_HEADERS, stream.number, block))
        if message:
            self.send(stream, message, end)
        return stream

    def send(self, stream: Stream, message: bytes, end: bool = False) -> None:
        """A message on a stream, as far as the server has room; the rest when it has."""
        size = len(message)
        room = min(self._window, stream.window, self._max_frame)
        if size > room or self._blocked:
            self._blocked.append((stream, memoryview(message), end))
            self._pump()
            return
        self._window -= size
        stream.window -= size
        self._write(frame(Kind.DATA, Flag.END_STREAM if end else 0, stream.number, message))

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        at, end = 0, len(data)
        while end - at >= HEAD.size:
            high, low, kind, flags, number = HEAD.unpack_from(data, at)
            begin = at + HEAD.size
            if (stop := begin + (high << 16 | low)) > end:
                break
            self._on_frame(kind, flags, number & MAX_WINDOW, data[begin:stop])
            at = stop
        self._buffer = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server hung up at once"))
        self.is_left = True
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.sink.ended(None)
        for sink in tuple(self.sinks):
            sink.left()

    def _on_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == Kind.DATA:
            self._on_data(flags, number, payload)
        elif kind in (Kind.HEADERS, Kind.CONTINUATION):
            self._block += strip(payload, flags) if kind == Kind.HEADERS else payload
            # END_STREAM comes with HEADERS, END_HEADERS with the last part of the block.
            if kind == Kind.HEADERS:
                self._block_ends_stream = bool(flags & Flag.END_STREAM)
            if flags & Flag.END_HEADERS:
                block, self._block = self._block, b""
                if self._block_ends_stream:
                    self._end(number, self._status(block))
        elif kind == Kind.WINDOW_UPDATE:
            self._on_window(number, parse_uint(payload))
        elif kind == Kind.SETTINGS:
            self._on_settings(flags, payload)
        elif kind == Kind.PING and not flags & Flag.ACK:
            self._write(frame(Kind.PING, Flag.ACK, 0, payload))
        elif kind == Kind.RST_STREAM:
            self._end(number, None)
        elif kind == Kind.GOAWAY:
            self._on_goaway(parse_uint(payload))

    def _on_goaway(self, last: int) -> None:
        """No new streams; those up to ``last`` are still answered."""
        self.is_left = True
        for number in [one for one in self._streams if one > last]:
            self._end(number, None)
        for sink in tuple(self.sinks):
            sink.left()

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received > REFILL_BYTES:
            self._write(window_update(0, self._received))
            self._received = 0
        if (stream := self._streams.get(number)) is None:
            return
        stream.received += len(payload)
        if stream.received > REFILL_BYTES:
            self._write(window_update(number, stream.received))
            stream.received = 0
        stream.sink.received(strip(payload, flags & Flag.PADDED))
        if flags & Flag.END_STREAM:  # gRPC has trailers: an end without them is none
            self._end(number, None)

    def _on_window(self, number: int, by: int) -> None:
        if number == 0:
            self._window += by
        elif stream := self._streams.get(number):
            stream.window += by
        if self._blocked:
            self._pump()

    def _on_settings(self, flags: int, payload: bytes) -> None:
        if flags & Flag.ACK:
            # Ours are in force, and its own came before this: now requests can be sent.
            if not self.ready.done():
                self.ready.set_result(None)
            return
        theirs = parse_settings(payload)
        self.max_streams = theirs.get(Setting.MAX_STREAMS, self.max_streams)
        self._max_frame = theirs.get(Setting.MAX_FRAME, self._max_frame)
        change = theirs.get(Setting.INITIAL_WINDOW, self._stream_window) - self._stream_window
        self._stream_window += change
        for stream in self._streams.values():
            stream.window += change
        self._write(frame(Kind.SETTINGS, Flag.ACK, 0))
        self._pump()

    def _status(self, block: bytes) -> int:
        status = self._statuses.get(block)
        if status is None:
            if len(self._statuses) >= MEMO_BLOCKS:
                self._statuses.clear()
            status = self._statuses[block] = decode_status(block)
        return status

    def _end(self, number: int, status: int | None) -> None:
        if stream := self._streams.pop(number, None):
            stream.sink.ended(status)

    def _pump(self) -> None:
        """Send what was blocked, first things first, as far as there is room now."""
        while self._blocked:
            stream, message, end = self._blocked[0]
            if stream.number not in self._streams:
                self._blocked.popleft()
                continue
            room = min(self._window, stream.window, self._max_frame)
            if room <= 0:
                return
            part, rest = message[:room], message[room:]
            self._window -= len(part)
            stream.window -= len(part)
            flags = Flag.END_STREAM if end and not rest else 0
            self._write(frame(Kind.DATA, flags, stream.number, bytes(part)))
            if rest:
                self._blocked[0] = (stream, rest, end)
            else:
                self._blocked.popleft()

    def _write(self, data: bytes) -> None:
        """All that is written in a turn of the loop leaves at its end, at once."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(out))


async def connect(host: str, port: int) -> Http2Connection:
    """A connection on which requests can be sent.

    Raises:
        OSError: the server cannot be reached, or does not speak HTTP/2.
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Http2Connection, host, port)
    try:
        await asyncio.wait_for(connection.ready, CONNECT_S)
    except TimeoutError:
        connection.close()
        raise ConnectionError(f"{host}:{port} does not speak HTTP/2") from None
    return connection
