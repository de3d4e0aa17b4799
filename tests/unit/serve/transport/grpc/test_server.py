"""The listener: binding, TLS, limits, reflection, stopping."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serve.clock import monotonic_ns
from serve.config import GrpcSettings
from serve.errors import TooLarge
from serve.protocol.status import DEFAULT, TRITON
from serve.tensors import InferResponse
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
    assert await status_of(stub.ModelInfer(message())) is StatusCode.UNAVAILABLE
    future.set_result(answer(request))
    assert (await call).id == "7"
    await stop


async def test_drain_refuses_new_streams(server: Any, stub: Any) -> None:
    server.begin_drain()
    call = stub.ModelStreamInfer(iter([]))
    with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping"):
        await call.read()
    assert await call.code() is StatusCode.UNAVAILABLE


async def test_stop_tells_what_is_left_after_its_grace(
    server: Any, stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.held = True
    call = stub.ModelInfer(message())
    stream = stub.ModelStreamInfer(iter([message()]))
    futures = [(await plane.arrivals.get())[1] for _ in range(2)]
    await server.stop(0.01)
    assert await status_of(call) is StatusCode.UNAVAILABLE
    assert "has stopped" in await call.details()
    assert await stream.code() is StatusCode.UNAVAILABLE
    assert all(future.cancelled() for future in futures)
    assert (server.calls, server.inflight_bytes) == (0, 0)


async def test_stop_waits_for_no_open_reflection_or_silent_call(
    server: Any, channel: grpc.aio.Channel, stub: Any
) -> None:
    forever = asyncio.Event()

    async def nothing() -> AsyncIterator[Any]:
        await forever.wait()
        yield

    reflected = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(nothing())
    silent = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")(nothing())
    await stub.ServerLive(service_pb2.ServerLiveRequest())
    async with asyncio.timeout(60):
        await server.stop(0.01)
    assert await silent.code() is StatusCode.UNAVAILABLE
    reflected.cancel()


class TestLimits:
    @pytest.fixture
    def settings(self) -> GrpcSettings:
        return GrpcSettings(
            host="127.0.0.1",
            port=0,
            max_message_bytes=4096,
            max_inflight_bytes=8192,
            max_concurrent_rpcs=4,
        )

    async def test_message_over_the_limit_is_refused(
        self, stub: Any, plane: Any, message: Callable[..., Any]
    ) -> None:
        request = message()
        request.raw_input_contents[0] = bytes(5000)
        assert await status_of(stub.ModelInfer(request)) is StatusCode.RESOURCE_EXHAUSTED
        assert plane.arrivals.empty()
        await stub.ModelInfer(message())

    async def test_answer_over_the_limit_is_an_error_that_names_the_flag(
        self, stub: Any, plane: Any, message: Callable[..., Any], tensor: Any
    ) -> None:
        plane.held = True
        large = InferResponse("m", "1", [tensor(np.zeros((1, 2000), np.float32))])
        unary = stub.ModelInfer(message())
        (await plane.arrivals.get())[1].set_result(large)
        assert await status_of(unary) is StatusCode.RESOURCE_EXHAUSTED
        assert "--grpc-max-message-bytes" in await unary.details()
        stream = stub.ModelStreamInfer(iter([message(), message("2")]))
        (await plane.arrivals.get())[1].set_result(large)
        request, future = await plane.arrivals.get()
        future.set_result(InferResponse("m", "1", request.inputs))
        refused, answered = [reply async for reply in stream]
        assert "--grpc-max-message-bytes" in refused.error_message
        assert answered.infer_response.id == "2"

    async def test_compressed_message_is_measured_as_what_it_becomes(
        self, stub: Any, message: Callable[..., Any]
    ) -> None:
        request = message()
        request.raw_input_contents[0] = bytes(5000)
        call = stub.ModelInfer(request, compression=grpc.Compression.Gzip)
        assert await status_of(call) is StatusCode.RESOURCE_EXHAUSTED

    async def test_call_over_the_limit_is_refused_and_costs_nobody_else(
        self, server: Any, stub: Any, plane: Any, message: Callable[..., Any], answer: Any
    ) -> None:
        plane.held = True
        calls = [stub.ModelInfer(message(str(index))) for index in range(4)]
        arrivals = [await plane.arrivals.get() for _ in range(4)]
        refused = stub.ModelInfer(message())
        assert await status_of(refused) is StatusCode.UNAVAILABLE
        assert "--grpc-max-concurrent-rpcs" in await refused.details()
        assert "grpc-retry-pushback-ms" in dict(await refused.trailing_metadata())
        for request, future in arrivals:
            future.set_result(answer(request))
        assert sorted([(await call).id for call in calls]) == ["0", "1", "2", "3"]

    async def test_idle_stream_goes_where_its_place_is_needed(
        self, server: Any, stub: Any, message: Callable[..., Any]
    ) -> None:
        server._intake._min_rest_s = 0
        forever = asyncio.Event()

        async def once() -> AsyncIterator[Any]:
            yield message()
            await forever.wait()

        streams = []
        for _ in range(4):  # one after another: the first is the one that is idle longest
            streams.append(stub.ModelStreamInfer(once()))
            await streams[-1].read()
        assert (await stub.ModelInfer(message("7"))).id == "7"
        with pytest.raises(grpc.aio.AioRpcError, match="idle"):
            await streams[0].read()
        assert not any(stream.done() for stream in streams[1:])
        for stream in streams:
            stream.cancel()

    async def test_probes_are_answered_when_no_call_fits(
        self, channel: grpc.aio.Channel, stub: Any, plane: Any, message: Callable[..., Any]
    ) -> None:
        plane.held = True
        calls = [stub.ModelInfer(message()) for _ in range(4)]
        for _ in calls:
            await plane.arrivals.get()
        assert await status_of(stub.ModelInfer(message())) is StatusCode.UNAVAILABLE
        check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert (await check).status == health_pb2.HealthCheckResponse.SERVING
        assert (await stub.ServerLive(service_pb2.ServerLiveRequest())).live

    async def test_bytes_over_the_limit_are_refused_until_others_are_answered(
        self, server: Any, stub: Any, plane: Any, message: Callable[..., Any], answer: Any
    ) -> None:
        plane.held = True
        request = message()
        request.inputs[0].shape[:] = [1, 750]
        request.raw_input_contents[0] = bytes(3000)
        calls = [stub.ModelInfer(request) for _ in range(2)]
        arrivals = [await plane.arrivals.get() for _ in calls]
        assert server.inflight_bytes == 2 * request.ByteSize()
        refused = stub.ModelInfer(request)
        assert await status_of(refused) is StatusCode.UNAVAILABLE
        assert "--grpc-max-inflight-bytes" in await refused.details()
        for held, future in arrivals:
            future.set_result(answer(held))
        await asyncio.gather(*calls)
        plane.held = False
        await stub.ModelInfer(request)

    async def test_bytes_over_the_limit_are_refused_on_a_stream_and_it_goes_on(
        self, stub: Any, plane: Any, message: Callable[..., Any], answer: Any
    ) -> None:
        plane.held = True
        request = message()
        request.inputs[0].shape[:] = [1, 750]
        request.raw_input_contents[0] = bytes(3000)
        call = stub.ModelStreamInfer(iter([request, request, request, message("small")]))
        arrivals = [await plane.arrivals.get() for _ in range(3)]
        for held, future in arrivals:
            future.set_result(answer(held))
        replies = [reply async for reply in call]
        assert [bool(reply.error_message) for reply in replies] == [False, False, True, False]
        assert "--grpc-max-inflight-bytes" in replies[2].error_message


class TestTimeouts:
    @pytest.fixture
    def settings(self) -> GrpcSettings:
        return GrpcSettings(host="127.0.0.1", port=0, message_timeout_s=0.05, write_timeout_s=0.05)

    async def test_message_that_does_not_come_is_not_waited_for(
        self, server: Any, channel: grpc.aio.Channel, stub: Any
    ) -> None:
        for method in ("ModelInfer", "ServerLive"):
            call = channel.stream_unary(f"/inference.GRPCInferenceService/{method}")()
            assert await call.code() is StatusCode.DEADLINE_EXCEEDED
            assert "--body-timeout" in await call.details()

    async def test_stream_that_is_not_read_gives_all_back_but_the_answer_that_is_stuck(
        self,
        server: Any,
        stub: Any,
        plane: Any,
        message: Callable[..., Any],
        tensor: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        plane.held = True
        call = stub.ModelStreamInfer(iter([message(str(index)) for index in range(8)]))
        arrivals = [await plane.arrivals.get() for _ in range(8)]
        large = InferResponse("m", "1", [tensor(np.zeros((1, 4_000_000), np.float32))])
        for _, future in arrivals[:-1]:
            future.set_result(large)
        await asyncio.wait([arrivals[-1][1]])
        assert arrivals[-1][1].cancelled()
        assert 16_000_000 <= server.inflight_bytes < 17_000_000
        assert server.calls == 1
        call.cancel()
        while server.calls:
            await stub.ServerLive(service_pb2.ServerLiveRequest())
        assert server.inflight_bytes == 0
        assert caplog.records == []


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
