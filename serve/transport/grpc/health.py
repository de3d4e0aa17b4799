"""grpc.health.v1: the probe of load balancers and of Kubernetes.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from serve.errors import InvalidRequest, NotFound
from serve.gateway.interface import DataPlane
from serve.protocol.grpc_messages import parse
from serve.protocol.quoting import quoted
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.lifecycle import Lifecycle

__all__ = ["SERVICE_NAME", "Health"]

SERVICE_NAME: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Health:
    """SERVING while the data plane is ready and the server is not draining."""

    def __init__(
        self,
        plane: DataPlane,
        failures: Failures,
        lifecycle: Lifecycle,
        *,
        services: frozenset[str],
        poll_s: float = 1.0,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._lifecycle = lifecycle
        self._services = services
        self._poll_s = poll_s

    async def check(self, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """The status now."""
        try:
            service = parse(health_pb2.HealthCheckRequest, data).service
            if service not in self._services:
                raise NotFound(f"unknown service {quoted(service)}")
            return _response(self._status(service))
        except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
            await self._failures.abort(context, error)

    async def watch(self, data: bytes, context: grpc.aio.ServicerContext) -> None:
        """The status now and whenever it changes, until the client or the server goes."""
        try:
            service = parse(health_pb2.HealthCheckRequest, data).service
        except InvalidRequest as error:
            await self._failures.abort(context, error)
        sent = None
        while True:
            status = self._status(service)
            if status != sent:
                await context.write(_response(status))
                sent = status
            if await self._ends():
                return

    def _status(self, service: str) -> int:
        statuses = health_pb2.HealthCheckResponse
        if service not in self._services:
            return int(statuses.SERVICE_UNKNOWN)
        ready = self._plane.server_ready() and not self._lifecycle.draining.is_set()
        return int(statuses.SERVING if ready else statuses.NOT_SERVING)

    async def _ends(self) -> bool:
        """Wait until the status may have changed; whether it is the end.

        Readiness is asked for, not announced, so it is looked at from time to time; a drain is
        announced, and nothing follows it but the end.
        """
        lifecycle = self._lifecycle
        if lifecycle.draining.is_set():
            return await lifecycle.stopping.wait()
        try:
            async with asyncio.timeout(self._poll_s):
                await lifecycle.draining.wait()
        except TimeoutError:
            pass
        return False


def _response(status: int) -> bytes:
    return bytes(health_pb2.HealthCheckResponse(status=status).SerializeToString())
