"""What both kinds of gRPC share: channels, and what an error means.

The library takes some 95 µs of CPU a call, so that a process drives about 7,000 calls a second
with a core to itself: enough for a rate that is given, not for the limit of a fast server. More
processes help where there are more cores; the report's health says when a generator is the limit.
"""

from __future__ import annotations

import asyncio
import itertools
import re

import grpc

from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import GRPC, LOST

__all__ = ["STREAM", "UNARY", "Channels", "status_of"]

UNARY = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
CONNECT_S = 10.0
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # else all channels of a process share a connection
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
)
_LOST = re.compile(
    r"failed to connect|socket closed|connection reset|connection refused|broken pipe|goaway"
    r"|endpoint closing|transport",
    re.IGNORECASE,
)


class Channels:
    """The HTTP/2 connections of one process, used in turn."""

    def __init__(self, spec: LoadSpec) -> None:
        address = f"{spec.target.host}:{spec.target.port}"
        count = max(1, min(spec.channels, spec.connections))
        self._channels = [grpc.aio.insecure_channel(address, _OPTIONS) for _ in range(count)]
        self._turn = itertools.cycle(self._channels)

    async def next(self) -> grpc.aio.Channel:
        """The next channel in turn, connected.

        Raises:
            ConnectionError: the server does not answer.
        """
        channel = next(self._turn)
        try:
            await asyncio.wait_for(channel.channel_ready(), CONNECT_S)
        except TimeoutError:
            raise ConnectionError("no gRPC connection to the server") from None
        return channel

    async def close(self) -> None:
        """End every connection, and the calls on it."""
        for channel in self._channels:
            await channel.close()


def status_of(error: grpc.aio.AioRpcError) -> int:
    """The status of a failed call.

    The library says UNAVAILABLE for a lost connection as well, which is no refusal; only its text
    tells the two apart.
    """
    if error.code() is grpc.StatusCode.UNAVAILABLE and _LOST.search(error.details() or ""):
        return LOST
    return GRPC + int(error.code().value[0])
