"""The gRPC listener: one port, three services (inference, health, reflection), on grpc.aio."""

from __future__ import annotations

import grpc
from grpc_reflection.v1alpha import reflection
from tritonclient.grpc import service_pb2

from serve.clock import Clock
from serve.config import GrpcSettings
from serve.errors import Unavailable
from serve.gateway.interface import DataPlane
from serve.protocol.status import StatusTable
from serve.transport.grpc import health
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.health import Health
from serve.transport.grpc.lifecycle import Lifecycle
from serve.transport.grpc.questions import Questions
from serve.transport.grpc.stream_infer import StreamInfer
from serve.transport.grpc.unary_infer import UnaryInfer

__all__ = ["GrpcServer", "create_grpc_server"]

SERVICE_NAME: str = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class GrpcServer:
    """Listens between ``start`` and ``stop``; both, and all calls, on one event loop."""

    def __init__(
        self, plane: DataPlane, settings: GrpcSettings, clock: Clock, status_table: StatusTable
    ) -> None:
        self._settings = settings
        self._lifecycle = Lifecycle()
        failures = Failures(plane, status_table)
        self._unary = UnaryInfer(plane, failures, clock)
        self._stream = StreamInfer(plane, failures, clock, self._lifecycle)
        self._questions = Questions(plane, failures, self._lifecycle)
        self._health = Health(
            plane, failures, self._lifecycle, services=frozenset(("", SERVICE_NAME))
        )
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on; 0 before ``start``."""
        return self._port

    async def start(self) -> None:
        """Bind and listen.

        Raises:
            Unavailable: the address cannot be bound, or the certificate cannot be used.
        """
        server = grpc.aio.server(
            options=_options(self._settings),
            maximum_concurrent_rpcs=self._settings.max_concurrent_rpcs,
        )
        server.add_generic_rpc_handlers(self._handlers())
        reflection.enable_server_reflection(
            (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        self._port = _bind(server, self._settings)
        await server.start()
        self._server = server

    def begin_drain(self) -> None:
        """Not ready from now on, in every way a probe may ask; calls are answered as before."""
        self._lifecycle.begin_drain()

    async def stop(self, grace_s: float) -> None:
        """Take no new call, answer those accepted, and cancel what is left after ``grace_s``."""
        self._lifecycle.begin_stop()
        self._stream.stop_reading()
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

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


def _options(settings: GrpcSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # With it, a second server would bind a taken port and share its clients in silence.
        ("grpc.so_reuseport", 0),
        # A client that vanished without a word is noticed after a minute and a third ...
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # ... and one that looks after us may ask every five seconds, calls under way or not.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]


def _bind(server: grpc.aio.Server, settings: GrpcSettings) -> int:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.port}"
    credentials = _credentials(settings)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise Unavailable(
            f"cannot listen for gRPC on {address}: choose a free port with --grpc-port, "
            "or an address of this machine with --host"
        )
    return int(port)


def _credentials(settings: GrpcSettings) -> grpc.ServerCredentials | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
    except OSError as error:
        raise Unavailable(f"cannot read the TLS files (--tls-cert, --tls-key): {error}") from None
    return grpc.ssl_server_credentials([pair])
