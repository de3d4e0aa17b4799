"""What both kinds of gRPC share: connections, and requests made ready to be sent."""

from __future__ import annotations

import itertools

from benchmarks.loadgen.http2 import Http2Connection, Sink, connect
from benchmarks.loadgen.http2_frames import MESSAGE_HEAD, header_block
from benchmarks.loadgen.spec import LoadSpec, Target

__all__ = ["STREAM", "UNARY", "Channels", "head", "message"]

UNARY = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


def head(target: Target, method: str, metadata: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The header block of a call."""
    return header_block(
        (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", f"{target.host}:{target.port}"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "penstock-loadgen"),
            *((name.lower(), value) for name, value in metadata),
        )
    )


def message(body: bytes) -> bytes:
    """A message as it goes on a stream."""
    return MESSAGE_HEAD.pack(False, len(body)) + body


class Channels:
    """The HTTP/2 connections of one process; slots are dealt out to them in turn.

    More are opened where a server allows fewer streams on one than there are slots.
    """

    def __init__(self, spec: LoadSpec) -> None:
        self._target = spec.target
        self._wanted = max(1, min(spec.channels, spec.connections))
        self._connections: list[Http2Connection] = []
        self._turn = itertools.count()

    async def join(self, sink: Sink) -> Http2Connection:
        """A connection that ``sink`` is a part of from now on.

        Raises:
            OSError: the server cannot be reached.
        """
        self._connections = [one for one in self._connections if not one.is_left]
        free = [one for one in self._connections if len(one.sinks) < one.max_streams]
        if len(self._connections) < self._wanted or not free:
            free = [await connect(self._target.host, self._target.port)]
            self._connections += free
        connection = free[next(self._turn) % len(free)]
        connection.sinks.add(sink)
        return connection

    async def close(self) -> None:
        """End every connection, and the calls on it."""
        for connection in self._connections:
            connection.close()
