"""ModelInfer: one message in, one out. Nothing here is done that is not done for every request."""

from __future__ import annotations

import grpc

from serve.clock import Clock
from serve.gateway.interface import DataPlane
from serve.protocol.grpc_request import decode, peek
from serve.protocol.grpc_response import encode
from serve.transport.grpc.call import answer_of, read_caller
from serve.transport.grpc.failures import Failures

__all__ = ["UnaryInfer"]


class UnaryInfer:
    """The handler of ModelInfer for one server."""

    def __init__(self, plane: DataPlane, failures: Failures, clock: Clock) -> None:
        self._plane = plane
        self._failures = failures
        self._clock = clock

    async def handle(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Answer one call; a client that cancels cancels this coroutine, and so the request."""
        now_ns = self._clock()
        model_name = None
        try:
            request = decode(data)
            model_name = request.model_name
            read_caller(context, now_ns).stamp(request, now_ns)
            return encode(request, await answer_of(self._plane.infer(request)))
        except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
            if model_name is None:
                model_name = peek(data)[1]
            await self._failures.abort(context, error, model_name)
