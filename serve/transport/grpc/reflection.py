"""Server reflection, whose streams are counted: a client may leave them open for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from serve.errors import PenstockError
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.intake import Intake

__all__ = ["add_reflection"]


class _Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]
    def __init__(self, services: tuple[str, ...], failures: Failures, intake: Intake) -> None:
        super().__init__(services)
        self._failures = failures
        self._intake = intake

    async def ServerReflectionInfo(
        self, request_iterator: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        try:
            self._intake.enter(context)
        except PenstockError as error:
            await self._failures.abort(context, error)
        async for reply in super().ServerReflectionInfo(request_iterator, context):
            yield reply


def add_reflection(
    server: grpc.aio.Server, services: tuple[str, ...], failures: Failures, intake: Intake
) -> None:
    """Let clients ask ``server`` for the descriptors of ``services`` and of reflection itself."""
    servicer = _Reflection((*services, reflection.SERVICE_NAME), failures, intake)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
