"""grpc.health.v1: the probe of load balancers and of Kubernetes.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2

from serve.errors import NotFound
from serve.gateway.interface import DataPlane
from serve.protocol.grpc_messages import parse
from serve.protocol.quoting import quoted
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.intake import Intake
from serve.transport.grpc.receive import read_question

__all__ = ["SERVICE_NAME", "Health"]

SERVICE_NAME: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Health:
    """SERVING while the data plane is ready and the server is not stopping."""

    def __init__(
        self,
        plane: DataPlane,
        failures: Failures,
        stopping: asyncio.Event,
        watches: Intake,
        *,
        services: frozenset[str],
        message_timeout_s: float,
        poll_s: float = 1.0,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._stopping = stopping
        self._watches = watches
        self._services = services
        self._message_timeout_s = message_timeout_s
        self._poll_s = poll_s

    async def check(self, _: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        """The status now, however busy the server is."""
        try:
            service = await self._service(context)
            if service not in self._services:
                raise NotFound(f"unknown service {quoted(service)}")
            return _response(self._status(service))
        except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
            await self._failures.abort(context, error)

    async def watch(self, _: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        """The status now and whenever it changes, until the client or the server goes."""
        try:
            self._watches.enter(context)
            service = await self._service(context)
        except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
            await self._failures.abort(context, error)
        sent = None
        while True:
            stopping = self._stopping.is_set()
            status = self._status(service)
            if status != sent:
                await context.write(_response(status))
                sent = status
            if stopping:
                return
            await self._next_look()

    async def _service(self, context: grpc.aio.ServicerContext) -> str:
        data = await read_question(context, self._message_timeout_s)
        return str(parse(health_pb2.HealthCheckRequest, data).service)

    def _status(self, service: str) -> int:
        statuses = health_pb2.HealthCheckResponse
        if service not in self._services:
            return int(statuses.SERVICE_UNKNOWN)
        ready = self._plane.server_ready() and not self._stopping.is_set()
        return int(statuses.SERVING if ready else statuses.NOT_SERVING)

    async def _next_look(self) -> None:
        """Readiness is asked for, not announced, so it is polled; the end is announced."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._stopping.wait()


def _response(status: int) -> bytes:
    return bytes(health_pb2.HealthCheckResponse(status=status).SerializeToString())
