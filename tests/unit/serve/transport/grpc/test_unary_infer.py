"""ModelInfer over a real socket: answers, statuses, deadlines, cancellation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from serve.errors import (
    AlreadyExists,
    BackendError,
    Cancelled,
    Code,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    TooLarge,
    Unsupported,
)
from serve.tensors import InferResponse, Tensor


async def status_of(call: Any) -> tuple[StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_infer_answers(stub: Any, plane: Any, message: Callable[..., Any]) -> None:
    reply = await stub.ModelInfer(message("7"))
    assert (reply.model_name, reply.id) == ("m", "7")
    assert reply.raw_output_contents[0] == message().raw_input_contents[0]
    request, _ = plane.arrivals.get_nowait()
    assert request.protocol == "grpc"
    assert request.received_ns > 0
    assert request.deadline_ns == 0
    assert plane.errors == []


async def test_infer_takes_large_messages_both_ways(stub: Any, message: Callable[..., Any]) -> None:
    request = message()
    request.inputs[0].shape[:] = [2, 1_500_000]
    request.raw_input_contents[0] = np.random.default_rng(0).bytes(12_000_000)
    reply = await stub.ModelInfer(request)
    assert reply.raw_output_contents[0] == request.raw_input_contents[0]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_infer_takes_compressed_messages(
    stub: Any, message: Callable[..., Any], compression: grpc.Compression
) -> None:
    assert (await stub.ModelInfer(message("7"), compression=compression)).id == "7"


async def test_infer_passes_on_deadline_and_traceparent(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await stub.ModelInfer(message(), timeout=50, metadata=(("traceparent", traceparent),))
    request, _ = plane.arrivals.get_nowait()
    assert request.traceparent == traceparent
    assert 0 < request.deadline_ns - request.received_ns <= 51 * 10**9  # rounded up on the wire


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("input 'x'"), StatusCode.INVALID_ARGUMENT),
        (NotFound("no model"), StatusCode.NOT_FOUND),
        (AlreadyExists("there"), StatusCode.ALREADY_EXISTS),
        (TooLarge("too many rows"), StatusCode.RESOURCE_EXHAUSTED),
        (Unsupported("not here"), StatusCode.UNIMPLEMENTED),
        (NotReady("loading"), StatusCode.UNAVAILABLE),
        (DeadlineExceeded("late"), StatusCode.DEADLINE_EXCEEDED),
        (Cancelled("gone"), StatusCode.CANCELLED),
        (BackendError("the model raised"), StatusCode.INTERNAL),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_error_has_its_status_and_is_counted_once(
    stub: Any, plane: Any, message: Callable[..., Any], error: Any, status: Any, at_once: bool
) -> None:
    if at_once:
        plane.refusal = error
        call = stub.ModelInfer(message())
    else:
        plane.held = True
        call = stub.ModelInfer(message())
        _, future = await plane.arrivals.get()
        future.set_exception(error)
    assert await status_of(call) == (status, str(error))
    assert plane.errors == [("grpc", error.code, "m")]


async def test_overload_carries_a_retry_hint(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.refusal = Overloaded("queue is full", reason="queue", retry_after_s=0.25)
    call = stub.ModelInfer(message())
    assert await status_of(call) == (StatusCode.UNAVAILABLE, "queue is full")
    assert ("grpc-retry-pushback-ms", "250") in list(await call.trailing_metadata())


async def test_unexpected_error_is_logged_and_not_shown(
    stub: Any, plane: Any, message: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    plane.refusal = ZeroDivisionError("secret")
    with caplog.at_level(logging.ERROR, "penstock.grpc"):
        assert await status_of(stub.ModelInfer(message())) == (
            StatusCode.INTERNAL,
            "internal error",
        )
    assert "secret" in caplog.text
    assert plane.errors == [("grpc", Code.INTERNAL, "m")]


async def test_answer_of_a_wrong_datatype_is_an_internal_error(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.held = True
    call = stub.ModelInfer(message())
    _, future = await plane.arrivals.get()
    future.set_result(InferResponse("m", "1", [Tensor("y", "FP32", np.zeros(1, np.int64))]))
    assert (await status_of(call))[0] is StatusCode.INTERNAL


async def test_refused_message_is_counted_under_its_model(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    request = message()
    request.raw_input_contents[0] = b"short"
    status, details = await status_of(stub.ModelInfer(request))
    assert status is StatusCode.INVALID_ARGUMENT
    assert "'x'" in details
    assert plane.errors == [("grpc", Code.INVALID_ARGUMENT, "m")]


async def test_bytes_that_are_no_message_are_an_invalid_argument(
    channel: grpc.aio.Channel, plane: Any
) -> None:
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff")
    assert (await status_of(call))[0] is StatusCode.INVALID_ARGUMENT
    assert plane.arrivals.empty()


async def test_long_error_reaches_the_client(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.refusal = InvalidRequest("é" * 100_000)
    status, details = await status_of(stub.ModelInfer(message()))
    assert status is StatusCode.INVALID_ARGUMENT
    assert details.startswith("ééé")
    assert details.endswith("...")


async def test_cancelled_call_withdraws_its_request_and_no_other(
    stub: Any, plane: Any, message: Callable[..., Any], answer: Any
) -> None:
    plane.held = True
    calls, arrivals = [], []
    for index in range(3):
        calls.append(stub.ModelInfer(message(str(index))))
        arrivals.append(await plane.arrivals.get())
    calls[1].cancel()
    await asyncio.wait([arrivals[1][1]])
    assert arrivals[1][1].cancelled()
    for index in (0, 2):
        request, future = arrivals[index]
        future.set_result(answer(request))
        assert (await calls[index]).id == str(index)
    assert plane.errors == []


async def test_deadline_withdraws_the_request(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.held = True
    call = stub.ModelInfer(message(), timeout=0.5)
    _, future = await plane.arrivals.get()
    assert (await status_of(call))[0] is StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait([future])
    assert future.cancelled()


async def test_future_that_the_server_cancelled_is_answered(
    stub: Any, plane: Any, message: Callable[..., Any]
) -> None:
    plane.held = True
    call = stub.ModelInfer(message())
    _, future = await plane.arrivals.get()
    future.cancel()
    assert (await status_of(call))[0] is StatusCode.CANCELLED
