"""The gRPC listener: one port, three services (inference, health, reflection), on grpc.aio."""

from __future__ import annotations

import asyncio

import grpc
from grpc_reflection.v1alpha import reflection
from tritonclient.grpc import service_pb2

from serve.clock import Clock
from serve.config import GrpcSettings
from serve.gateway.interface import DataPlane
from serve.protocol.status import StatusTable
from serve.transport.grpc import health
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.health import Health
from serve.transport.grpc.listener import bind, channel_options
from serve.transport.grpc.questions import Questions
from serve.transport.grpc.stream_infer import StreamInfer
from serve.transport.grpc.unary_infer import UnaryInfer

__all__ = ["GrpcServer", "create_grpc_server"]

_NO_LIMIT_S = 1e6
SERVICE_NAME: str = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class GrpcServer:
    """Listens between ``start`` and ``stop``; both, and all calls, on one event loop."""

    def __init__(
        self, plane: DataPlane, settings: GrpcSettings, clock: Clock, status_table: StatusTable
    ) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        failures = Failures(plane, status_table)
        self._unary = UnaryInfer(plane, failures, clock)
        self._stream = StreamInfer(plane, failures, clock, self._stopping)
        self._questions = Questions(plane, failures, self._stopping)
        self._health = Health(
            plane, failures, self._stopping, services=frozenset(("", SERVICE_NAME))
        )
        self._server: grpc.aio.Server | None = None
        self._shutdown: asyncio.Task[None] | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on; 0 before ``start``."""
        return self._port

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            OSError: the address cannot be bound, or the certificate cannot be used.
        """
        server = grpc.aio.server(
            options=channel_options(self._settings),
            maximum_concurrent_rpcs=self._settings.max_concurrent_rpcs,
        )
        server.add_generic_rpc_handlers(self._handlers())
        reflection.enable_server_reflection(
            (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        self._port = bind(server, self._settings)
        await server.start()
        self._server = server

    def begin_drain(self) -> None:
        """Not ready from now on, and no new connection or call; those accepted are answered.

        Clients are told (GOAWAY), so that they send what comes next to another server.
        """
        if self._server is None or self._shutdown is not None:
            return
        self._stopping.set()
        self._stream.stop_reading()
        self._shutdown = asyncio.create_task(self._server.stop(_NO_LIMIT_S))

    async def stop(self, grace_s: float) -> None:
        """Drain, and cancel what is left after ``grace_s``."""
        self.begin_drain()
        if self._server is not None and self._shutdown is not None:
            # A second stop shortens the grace of the first, which then ends too.
            await self._server.stop(grace_s)
            await self._shutdown

    def _handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        # Without (de)serialisers a handler is given, and gives, the bytes of the message.
        inference = {
            method: grpc.unary_unary_rpc_method_handler(handler)
            for method, handler in self._questions.handlers()
        }
        inference["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._unary.handle)
        inference["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream.handle)
        probes = {
            "Check": grpc.unary_unary_rpc_method_handler(self._health.check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._health.watch),
        }
        return (
            grpc.method_handlers_generic_handler(SERVICE_NAME, inference),
            grpc.method_handlers_generic_handler(health.SERVICE_NAME, probes),
        )


def create_grpc_server(
    plane: DataPlane, settings: GrpcSettings, clock: Clock, status_table: StatusTable
) -> GrpcServer:
    """A server that is not listening yet."""
    return GrpcServer(plane, settings, clock, status_table)
