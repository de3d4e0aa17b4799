"""grpc.health.v1 through its own stubs."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serve.protocol.status import DEFAULT
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.health import Health
from serve.transport.grpc.intake import Intake

Status = health_pb2.HealthCheckResponse
NAMES = ["", "inference.GRPCInferenceService"]


def request(service: str = "") -> Any:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.fixture
def health(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", NAMES)
async def test_check_follows_readiness(health: Any, plane: Any, service: str) -> None:
    assert (await health.Check(request(service))).status == Status.SERVING
    plane.ready = False
    assert (await health.Check(request(service))).status == Status.NOT_SERVING


async def test_check_of_an_unknown_service_is_not_found(health: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(request("nope"))
    assert caught.value.code() is StatusCode.NOT_FOUND


async def test_check_during_a_drain_is_answered(health: Any, server: Any) -> None:
    server.begin_drain()
    assert (await health.Check(request(), wait_for_ready=False)).status == Status.NOT_SERVING


async def test_check_of_a_huge_message_is_refused(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/grpc.health.v1.Health/Check")(bytes(1_000_000))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("service", NAMES)
async def test_watch_tells_of_a_drain_and_ends_with_the_server(
    health: Any, server: Any, service: str
) -> None:
    call = health.Watch(request(service))
    assert (await call.read()).status == Status.SERVING
    server.begin_drain()
    assert (await call.read()).status == Status.NOT_SERVING
    assert await call.read() is grpc.aio.EOF


async def test_watch_of_an_unknown_service_stays_open(health: Any) -> None:
    call = health.Watch(request("nope"))
    assert (await call.read()).status == Status.SERVICE_UNKNOWN
    assert not call.done()
    call.cancel()


async def test_watch_of_a_malformed_request_is_refused(channel: grpc.aio.Channel) -> None:
    call = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT


class Written:
    """A context that asks for the server's health and keeps what is written."""

    def __init__(self) -> None:
        self.statuses: asyncio.Queue[int] = asyncio.Queue()

    def add_done_callback(self, callback: Any) -> None:
        pass

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        self.statuses.put_nowait(Status.FromString(data).status)


def health_of(plane: Any, stopping: asyncio.Event) -> Health:
    return Health(
        plane,
        Failures(plane, DEFAULT),
        stopping,
        Intake(8, 8),
        services=frozenset(NAMES),
        message_timeout_s=60,
        poll_s=0.001,
    )


async def test_watch_tells_of_every_change_and_of_nothing_else(plane: Any) -> None:
    stopping = asyncio.Event()
    context = Written()
    watch = asyncio.create_task(health_of(plane, stopping).watch(None, context))
    assert await context.statuses.get() == Status.SERVING
    plane.ready = False
    assert await context.statuses.get() == Status.NOT_SERVING
    plane.ready = True
    assert await context.statuses.get() == Status.SERVING
    stopping.set()
    await watch
    assert await context.statuses.get() == Status.NOT_SERVING
    assert context.statuses.empty()


async def test_cancelled_watch_leaves_no_task(plane: Any) -> None:
    context = Written()
    before = asyncio.all_tasks()
    watch = asyncio.create_task(health_of(plane, asyncio.Event()).watch(None, context))
    await context.statuses.get()
    assert asyncio.all_tasks() - before == {watch}
    watch.cancel()
    await asyncio.wait([watch])
    assert asyncio.all_tasks() == before


async def test_cancelled_watches_do_not_hold_up_a_stop(health: Any, server: Any) -> None:
    for _ in range(20):
        call = health.Watch(request())
        await call.read()
        call.cancel()
    await server.stop(60)
