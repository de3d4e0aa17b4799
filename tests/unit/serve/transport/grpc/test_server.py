"""The listener: binding, TLS, limits, reflection, stopping."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serve.clock import monotonic_ns
from serve.config import GrpcSettings
from serve.errors import TooLarge
from serve.protocol.status import DEFAULT, TRITON
from serve.transport.grpc.server import create_grpc_server


async def status_of(call: Any) -> StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_start_names_the_flag_when_the_port_is_taken(server: Any, plane: Any) -> None:
    settings = GrpcSettings(host="127.0.0.1", port=server.port)
    with pytest.raises(OSError, match=rf"127.0.0.1:{server.port}.*--grpc-port"):
        await create_grpc_server(plane, settings, monotonic_ns, DEFAULT).start()


async def test_port_is_known_after_start(server: Any, plane: Any, settings: Any) -> None:
    assert server.port > 0
    assert create_grpc_server(plane, settings, monotonic_ns, DEFAULT).port == 0


async def test_stop_before_start_does_nothing(plane: Any, settings: Any) -> None:
    await create_grpc_server(plane, settings, monotonic_ns, DEFAULT).stop(0)


async def test_status_table_is_the_one_given(
    plane: Any, settings: Any, message: Callable[..., Any]
) -> None:
    plane.refusal = TooLarge("too many")
    server = create_grpc_server(plane, settings, monotonic_ns, TRITON)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert await status_of(stub.ModelInfer(message())) is StatusCode.INVALID_ARGUMENT
    await server.stop(0)


async def test_accepted_calls_are_answered_after_stop_began(
    server: Any, stub: Any, plane: Any, message: Callable[..., Any], answer: Any
) -> None:
    plane.held = True
    call = stub.ModelInfer(message("7"))
    request, future = await plane.arrivals.get()
    server.begin_drain()
    stop = asyncio.create_task(server.stop(60))
    # What crosses the shutdown in grpc's core before a handler sees it is reset: CANCELLED.
    refused = await status_of(stub.ModelInfer(message()))
    assert refused in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
    future.set_result(answer(request))
    assert (await call).id == "7"
    await stop


async def test_drain_alone_ends_a_server_that_nobody_uses(
    server: Any, stub: Any, message: Callable[..., Any]
) -> None:
    await stub.ModelInfer(message())
    server.begin_drain()
    await server._shutdown


async def test_stop_cancels_what_is_left_after_its_grace(
    server: Any, stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.held = True
    call = stub.ModelInfer(message())
    _, future = await plane.arrivals.get()
    await server.stop(0.01)
    # Which status depends on whether the call or its connection is seen to end first.
    assert await status_of(call) is not StatusCode.OK
    await asyncio.wait([future])
    assert future.cancelled()


class TestLimits:
    @pytest.fixture
    def settings(self) -> GrpcSettings:
        return GrpcSettings(host="127.0.0.1", port=0, max_message_bytes=4096, max_concurrent_rpcs=2)

    async def test_message_over_the_limit_is_refused(
        self, stub: Any, plane: Any, message: Callable[..., Any]
    ) -> None:
        request = message()
        request.raw_input_contents[0] = bytes(5000)
        assert await status_of(stub.ModelInfer(request)) is StatusCode.RESOURCE_EXHAUSTED
        assert plane.arrivals.empty()
        await stub.ModelInfer(message())

    async def test_call_over_the_limit_is_refused_and_costs_nobody_else(
        self, stub: Any, plane: Any, message: Callable[..., Any], answer: Any
    ) -> None:
        plane.held = True
        calls = [stub.ModelInfer(message(str(index))) for index in range(2)]
        arrivals = [await plane.arrivals.get() for _ in range(2)]
        assert await status_of(stub.ModelInfer(message())) is StatusCode.RESOURCE_EXHAUSTED
        for request, future in arrivals:
            future.set_result(answer(request))
        assert sorted([(await call).id for call in calls]) == ["0", "1"]


async def test_reflection_lists_and_describes_the_services(channel: grpc.aio.Channel) -> None:
    Ask = reflection_pb2.ServerReflectionRequest
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    questions = [
        Ask(list_services=""),
        Ask(file_containing_symbol="inference.GRPCInferenceService"),
    ]
    call = stub.ServerReflectionInfo(iter(questions))
    listed, described = [reply async for reply in call]
    assert {service.name for service in listed.list_services_response.service} == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    (proto, *_) = described.file_descriptor_response.file_descriptor_proto
    assert b"ModelStreamInfer" in proto


async def test_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/inference.GRPCInferenceService/Nope")(b"")
    assert await status_of(call) is StatusCode.UNIMPLEMENTED


class TestTls:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> GrpcSettings:
        key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
            check=True, capture_output=True,
        )  # fmt: skip
        return GrpcSettings(host="127.0.0.1", port=0, tls_cert=cert, tls_key=key)

    async def test_server_speaks_tls(self, server: Any, settings: Any) -> None:
        credentials = grpc.ssl_channel_credentials(settings.tls_cert.read_bytes())
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{server.port}", credentials, options
        ) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert (await stub.ServerLive(service_pb2.ServerLiveRequest())).live

    async def test_plain_text_is_refused(self, server: Any, stub: Any) -> None:
        live = stub.ServerLive(service_pb2.ServerLiveRequest())
        assert await status_of(live) is StatusCode.UNAVAILABLE

    async def test_start_refuses_half_a_pair(self, plane: Any, settings: Any) -> None:
        half = settings.model_copy(update={"tls_key": None})
        with pytest.raises(OSError, match="both or neither"):
            await create_grpc_server(plane, half, monotonic_ns, DEFAULT).start()

    async def test_start_names_the_flags_when_a_file_is_missing(
        self, plane: Any, tmp_path: Path
    ) -> None:
        settings = GrpcSettings(port=0, tls_cert=tmp_path / "a", tls_key=tmp_path / "b")
        with pytest.raises(OSError, match="--tls-cert"):
            await create_grpc_server(plane, settings, monotonic_ns, DEFAULT).start()
