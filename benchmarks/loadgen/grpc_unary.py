"""gRPC ModelInfer: a slot is room for one call; calls share a few HTTP/2 connections."""

from __future__ import annotations

import asyncio

import grpc

from benchmarks.loadgen.grpc_channels import UNARY, Channels, status_of
from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import GRPC, Owner
from benchmarks.payloads import Payload

__all__ = ["UnaryWire"]


class Call:
    """One call at a time; messages are passed on as the bytes they are."""

    def __init__(
        self, owner: Owner, payloads: tuple[Payload, ...], method: grpc.aio.UnaryUnaryMultiCallable
    ) -> None:
        self._owner = owner
        self._payloads = payloads
        self._method = method
        self._task: asyncio.Task[None] | None = None

    def send(self, number: int) -> None:
        """Start the call with request ``number``."""
        self._task = asyncio.get_running_loop().create_task(self._call(number))

    def close(self) -> None:
        """Cancel the call, if one is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _call(self, number: int) -> None:
        payload = self._payloads[number % len(self._payloads)]
        status = GRPC
        try:
            await self._method(payload.body, metadata=payload.headers or None)
        except grpc.aio.AioRpcError as error:
            status = status_of(error)
        self._owner.answered(self, number, status, True)


class UnaryWire:
    """Calls to one gRPC port."""

    def __init__(self, spec: LoadSpec, owner: Owner) -> None:
        self._owner = owner
        self._payloads = spec.payloads
        self._channels = Channels(spec)

    async def open(self) -> Call:
        """See ``Wire.open``; the channel is connected when this returns."""
        channel = await self._channels.next()
        return Call(self._owner, self._payloads, channel.unary_unary(UNARY))

    async def close(self) -> None:
        """See ``Wire.close``."""
        await self._channels.close()
