"""ModelStreamInfer over a real socket: order, in-band errors, back-pressure, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from tritonclient.grpc import service_pb2

from serve.errors import Code, InvalidRequest, NotFound
from serve.transport.grpc.stream_infer import MAX_IN_FLIGHT


async def replies(call: Any) -> list[Any]:
    return [reply async for reply in call]


async def status_of(call: Any) -> StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await replies(call)
    return caught.value.code()


async def test_stream_answers_every_message(stub: Any, message: Callable[..., Any]) -> None:
    requests = [message(str(index), (index, -index)) for index in range(300)]
    answers = await replies(stub.ModelStreamInfer(iter(requests)))
    assert [reply.infer_response.id for reply in answers] == [str(i) for i in range(300)]
    for request, reply in zip(requests, answers, strict=True):
        assert reply.infer_response.raw_output_contents == request.raw_input_contents
        assert reply.infer_response.parameters["triton_final_response"].bool_param


async def test_stream_without_messages_ends_well(stub: Any) -> None:
    call = stub.ModelStreamInfer(iter([]))
    assert await replies(call) == []
    assert await call.code() is StatusCode.OK


async def test_stream_runs_side_by_side_and_answers_in_order(
    stub: Any, plane: Any, message: Callable[..., Any], answer: Any
) -> None:
    plane.held = True
    call = stub.ModelStreamInfer(iter([message(str(index)) for index in range(5)]))
    arrivals = [await plane.arrivals.get() for _ in range(5)]
    for request, future in reversed(arrivals):
        future.set_result(answer(request))
    assert [reply.infer_response.id for reply in await replies(call)] == list("01234")


async def test_stream_errors_are_in_band_and_touch_no_neighbour(
    stub: Any, plane: Any, message: Callable[..., Any], answer: Any
) -> None:
    plane.held = True
    bad = message("1")
    bad.raw_input_contents[0] = b"short"
    call = stub.ModelStreamInfer(iter([message("0"), bad, message("2"), message("3")]))
    arrivals = [await plane.arrivals.get() for _ in range(3)]
    arrivals[0][1].set_result(answer(arrivals[0][0]))
    arrivals[1][1].set_exception(NotFound("no such model"))
    arrivals[2][1].set_result(answer(arrivals[2][0]))
    answers = await replies(call)
    assert [reply.infer_response.id for reply in answers] == list("0123")
    assert [bool(reply.error_message) for reply in answers] == [False, True, True, False]
    assert "'x'" in answers[1].error_message
    assert answers[2].error_message == "no such model"
    assert await call.code() is StatusCode.OK
    assert [code for _, code, _ in plane.errors] == [Code.INVALID_ARGUMENT, Code.NOT_FOUND]


async def test_stream_closes_with_the_status_when_the_client_asks_for_it(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.refusal = NotFound("no such model")
    call = stub.ModelStreamInfer(iter([message()]), metadata=(("triton_grpc_error", "true"),))
    assert await status_of(call) is StatusCode.NOT_FOUND
    assert await call.details() == "no such model"
    assert plane.errors == [("grpc", Code.NOT_FOUND, "m")]


async def test_stream_closed_by_an_error_withdraws_the_rest(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.held = True
    metadata = (("triton_grpc_error", "true"),)
    call = stub.ModelStreamInfer(iter([message() for _ in range(3)]), metadata=metadata)
    futures = [(await plane.arrivals.get())[1] for _ in range(3)]
    futures[2].set_exception(InvalidRequest("this one is never told"))
    futures[0].set_exception(InvalidRequest("this one is"))
    assert await status_of(call) is StatusCode.INVALID_ARGUMENT
    await asyncio.wait(futures)
    assert futures[1].cancelled()


async def test_stream_reads_no_further_while_its_window_is_full(
    stub: Any, plane: Any, message: Callable[..., Any], answer: Any
) -> None:
    plane.held = True
    total = MAX_IN_FLIGHT + 10
    call = stub.ModelStreamInfer(iter([message(str(index)) for index in range(total)]))
    arrivals = [await plane.arrivals.get() for _ in range(MAX_IN_FLIGHT)]
    # A round trip on the same connection: what could have been read has been by now.
    await stub.ServerLive(service_pb2.ServerLiveRequest())
    assert plane.arrivals.empty()
    plane.held = False
    for request, future in arrivals:
        future.set_result(answer(request))
    answers = await replies(call)
    assert [reply.infer_response.id for reply in answers] == [str(i) for i in range(total)]


async def test_cancelled_stream_withdraws_all_its_requests(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.held = True
    call = stub.ModelStreamInfer(iter([message() for _ in range(5)]))
    futures = [(await plane.arrivals.get())[1] for _ in range(5)]
    call.cancel()
    await asyncio.wait(futures)
    assert all(future.cancelled() for future in futures)
    assert plane.errors == []


async def test_cancelled_stream_leaves_other_streams_alone(
    stub: Any, plane: Any, message: Callable[..., Any], answer: Any
) -> None:
    plane.held = True
    doomed = stub.ModelStreamInfer(iter([message("a")]))
    _, doomed_future = await plane.arrivals.get()
    other = stub.ModelStreamInfer(iter([message("b")]))
    request, future = await plane.arrivals.get()
    doomed.cancel()
    await asyncio.wait([doomed_future])
    future.set_result(answer(request))
    assert [reply.infer_response.id for reply in await replies(other)] == ["b"]


async def test_stream_leaves_no_task_behind(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    await stub.ServerLive(service_pb2.ServerLiveRequest())
    before = len(asyncio.all_tasks())
    plane.held = True
    for _ in range(20):
        call = stub.ModelStreamInfer(iter([message()]))
        _, future = await plane.arrivals.get()
        call.cancel()
        await asyncio.wait([future])
        del call
    await stub.ServerLive(service_pb2.ServerLiveRequest())
    assert len(asyncio.all_tasks()) <= before + 10


async def test_stopping_server_answers_what_an_idle_stream_sent_and_closes_it(
    server: Any, stub: Any, plane: Any, message: Callable[..., Any], answer: Any
) -> None:
    plane.held = True
    forever = asyncio.Event()

    async def requests() -> AsyncIterator[Any]:
        yield message("7")
        await forever.wait()

    call = stub.ModelStreamInfer(requests())
    request, future = await plane.arrivals.get()
    stop = asyncio.create_task(server.stop(60))
    future.set_result(answer(request))
    assert (await call.read()).infer_response.id == "7"
    with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping"):
        await call.read()
    assert await call.code() is StatusCode.UNAVAILABLE
    await stop
