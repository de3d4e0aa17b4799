"""The gRPC listener: one port, three services (inference, health, reflection), on grpc.aio."""

from __future__ import annotations

import asyncio

import grpc
from tritonclient.grpc import service_pb2

from serve.clock import Clock
from serve.config import GrpcSettings
from serve.gateway.interface import DataPlane
from serve.protocol.status import StatusTable
from serve.transport.grpc import health
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.health import Health
from serve.transport.grpc.intake import Intake
from serve.transport.grpc.listener import bind, channel_options
from serve.transport.grpc.questions import Questions
from serve.transport.grpc.quiet import leave_out_lost_clients
from serve.transport.grpc.reflection import add_reflection
from serve.transport.grpc.stream_infer import StreamInfer
from serve.transport.grpc.unary_infer import UnaryInfer

__all__ = ["GrpcServer", "create_grpc_server"]

MAX_STANDING = 1024
"""Streams of health watches and of reflection, which may stay open for ever."""

STANDING_BYTES = 1024 * 1024
GOODBYE_S = 1.0
"""For statuses, and the news that the connection ends, to reach their clients."""

SERVICE_NAME: str = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class GrpcServer:
    """Listens between ``start`` and ``stop``; both, and all calls, on one event loop."""

    def __init__(
        self, plane: DataPlane, settings: GrpcSettings, clock: Clock, status_table: StatusTable
    ) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._failures = failures = Failures(plane, status_table)
        self._intake = Intake(settings.max_concurrent_rpcs, settings.max_inflight_bytes)
        self._standing = Intake(MAX_STANDING, STANDING_BYTES)
        message_timeout_s = settings.message_timeout_s
        self._unary = UnaryInfer(
            plane,
            failures,
            clock,
            self._intake,
            max_message_bytes=settings.max_message_bytes,
            message_timeout_s=message_timeout_s,
        )
        self._stream = StreamInfer(
            plane,
            failures,
            clock,
            self._intake,
            self._stopping,
            max_message_bytes=settings.max_message_bytes,
            write_timeout_s=settings.write_timeout_s,
        )
        self._questions = Questions(
            plane, failures, self._stopping, self._intake, message_timeout_s=message_timeout_s
        )
        self._health = Health(
            plane,
            failures,
            self._stopping,
            self._standing,
            services=frozenset(("", SERVICE_NAME)),
            message_timeout_s=message_timeout_s,
        )
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on; 0 before ``start``."""
        return self._port

    @property
    def calls(self) -> int:
        """Inference calls and streams under way."""
        return self._intake.calls

    @property
    def inflight_bytes(self) -> int:
        """Bytes of their messages."""
        return self._intake.held_bytes

    async def start(self, *, share_port: bool = False) -> None:
        """Bind and listen; with ``share_port`` beside other processes that do.

        Raises:
            OSError: the address cannot be bound, or the certificate cannot be used.
        """
        leave_out_lost_clients()
        server = grpc.aio.server(options=channel_options(self._settings, share_port))
        server.add_generic_rpc_handlers(self._handlers())
        services = (SERVICE_NAME, health.SERVICE_NAME)
        add_reflection(server, services, self._failures, self._standing)
        self._port = bind(server, self._settings)
        await server.start()
        self._server = server

    def begin_drain(self) -> None:
        """Not ready from now on, and no new inference; what was accepted is answered.

        It goes on listening, so that probes are told NOT_SERVING, and not left to guess.
        """
        self._stopping.set()
        self._intake.close()
        self._stream.stop_reading()

    async def stop(self, grace_s: float) -> None:
        """Drain; what is left after ``grace_s`` is told UNAVAILABLE; then close the port."""
        self.begin_drain()
        if self._server is None:
            return
        if not await self._intake.empty(grace_s):
            self._intake.abandon()
            await self._intake.empty(GOODBYE_S)
        await self._server.stop(GOODBYE_S)

    def _handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        # Without (de)serialisers a handler is given, and gives, the bytes of the message.
        # All take a stream, where one message will do: see ``receive``.
        inference = {
            method: grpc.stream_unary_rpc_method_handler(handler)
            for method, handler in self._questions.handlers()
        }
        inference["ModelInfer"] = grpc.stream_unary_rpc_method_handler(self._unary.handle)
        inference["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream.handle)
        probes = {
            "Check": grpc.stream_unary_rpc_method_handler(self._health.check),
            "Watch": grpc.stream_stream_rpc_method_handler(self._health.watch),
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
