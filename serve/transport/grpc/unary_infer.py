"""ModelInfer: one message in, one out. Nothing here is done that is not done for every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from serve.clock import Clock
from serve.errors import NotReady
from serve.gateway.interface import DataPlane
from serve.protocol.grpc_request import decode, peek
from serve.protocol.grpc_response import encode
from serve.transport.grpc.call import answer_of, fitting, read_caller
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.intake import Intake
from serve.transport.grpc.receive import read_message

__all__ = ["UnaryInfer"]


class UnaryInfer:
    """The handler of ModelInfer for one server."""

    def __init__(
        self,
        plane: DataPlane,
        failures: Failures,
        clock: Clock,
        intake: Intake,
        *,
        max_message_bytes: int,
        message_timeout_s: float,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._clock = clock
        self._intake = intake
        self._max_message_bytes = max_message_bytes
        self._message_timeout_s = message_timeout_s

    async def handle(self, _: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        """Answer one call; a client that cancels cancels this coroutine, and so the request."""
        data, lease, model_name = b"", None, None
        try:
            lease = self._intake.enter(context)
            data = await read_message(context, self._message_timeout_s)
            lease.hold_message(len(data))
            now_ns = self._clock()
            request = decode(data)
            model_name = request.model_name
            read_caller(context, now_ns).stamp(request, now_ns)
            response = await answer_of(self._plane.infer(request))
            answer = fitting(encode(request, response), self._max_message_bytes)
            lease.hold_only(len(answer))
            return answer
        except asyncio.CancelledError:
            if lease is not None and lease.abandoned:
                await self._failures.abort(context, NotReady(lease.abandoned))
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
            if model_name is None:
                model_name = peek(data)[1]
            await self._failures.abort(context, error, model_name)
