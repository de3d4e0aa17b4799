"""Bad input and bad clients over gRPC, against the whole server: neighbours stay unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serve.app import App
from serve.config import GrpcSettings, ServerSettings
from serve.transport.grpc.stream_infer import MAX_IN_FLIGHT
from tests.support import onnx_models

GATED_YAML = """
batching: {max_batch_size: 8}
resources: {instances: 1}
inputs: {x: {datatype: FP32, shape: [-1, 2]}}
outputs: {y: {datatype: FP32, shape: [-1, 2]}}
"""
GATED_MODEL = """
import numpy as np

class Model:
    def load(self, context):
        self.gate = str(context.folder / "gate")

    def predict(self, inputs):
        if (inputs["x"] == 7).any():
            with open(self.gate) as gate:  # a FIFO: blocks until the test has opened and closed it
                gate.read()
        if (inputs["x"] == -1).any():
            raise ValueError("minus one is not liked")
        return {"y": inputs["x"] * np.float32(2)}
"""
HELD = (7.0, 7.0)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    onnx_models.identity(tmp_path / "echo" / "1" / "model.onnx")
    onnx_models.identity(tmp_path / "wide" / "1" / "model.onnx")
    (tmp_path / "wide" / "model.yaml").write_text("batching: {max_batch_size: 8192}")
    gated = tmp_path / "gated" / "1"
    gated.mkdir(parents=True)
    (gated.parent / "model.yaml").write_text(GATED_YAML)
    (gated / "model.py").write_text(GATED_MODEL)
    os.mkfifo(gated / "gate")
    return tmp_path


@pytest.fixture
async def app(repository: Path) -> AsyncIterator[App]:
    settings = ServerSettings(
        http=None, admin=None, grpc=GrpcSettings(host="127.0.0.1", port=0), strict=True
    )
    app = App(repository, settings)
    assert await app.start()
    yield app
    await app.stop(0)


@pytest.fixture
def address(app: App) -> str:
    assert app.grpc is not None
    return f"127.0.0.1:{app.grpc.port}"


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


class Gate:
    """The FIFO that the gated model reads when its input is ``HELD``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    async def reached(self) -> None:
        """Wait until the model stands at the gate."""
        self._fd = await asyncio.to_thread(os.open, self._path, os.O_WRONLY)

    def open(self) -> None:
        """Let the model through."""
        os.close(self._fd)


@pytest.fixture
def gate(app: App, repository: Path) -> Iterator[Gate]:
    path = repository / "gated" / "1" / "gate"
    yield Gate(path)
    # Whoever still stands on either side of it, after a failed test, is let through.
    os.close(os.open(path, os.O_RDWR))


def gated(values: tuple[float, float], request_id: str = "") -> Any:
    request = service_pb2.ModelInferRequest(model_name="gated", id=request_id)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(np.array(values, np.float32).tobytes())
    return request


def output(reply: Any) -> list[float]:
    return np.frombuffer(reply.raw_output_contents[0], np.float32).tolist()


def echo(**changes: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name="echo")
    fields: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 4], **changes}
    raw = fields.pop("raw", bytes(16))
    request.inputs.add(**fields)
    request.raw_input_contents.append(raw)
    return request


async def status_of(call: Any) -> tuple[StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def settle(call: Any) -> None:
    """Wait for the end of a call, whatever it is."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call


async def live(stub: Any) -> bool:
    """A round trip: what was sent before it on the same connection has been taken up."""
    return bool((await stub.ServerLive(service_pb2.ServerLiveRequest())).live)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "z"}, "'z'"),
        ({"datatype": "INT32"}, "FP32"),
        ({"datatype": "FP64", "raw": bytes(32)}, "FP32"),
        ({"shape": [4]}, "x"),
        ({"shape": [1, 5], "raw": bytes(20)}, "x"),
        ({"shape": [1, 2, 2]}, "x"),
        ({"shape": [200_000, 4], "raw": bytes(3_200_000)}, "batch"),
        ({"raw": bytes(15)}, "'x'"),
        ({"shape": [-1, 4]}, "'x'"),
        ({"shape": [2**62, 2**62]}, "'x'"),
    ],
)
async def test_bad_input_is_an_invalid_argument_that_names_it(
    stub: Any, changes: dict[str, Any], named: str
) -> None:
    status, details = await status_of(stub.ModelInfer(echo(**changes)))
    assert status is StatusCode.INVALID_ARGUMENT
    assert named in details
    assert (await stub.ModelInfer(echo())).raw_output_contents[0] == bytes(16)


async def test_missing_input_and_unknown_output_are_named(stub: Any) -> None:
    request = echo()
    request.outputs.add(name="nope")
    assert "nope" in (await status_of(stub.ModelInfer(request)))[1]
    empty = service_pb2.ModelInferRequest(model_name="echo")
    assert "x" in (await status_of(stub.ModelInfer(empty)))[1]


async def test_unknown_model_is_not_found(stub: Any) -> None:
    request = echo()
    request.model_name = "nope"
    assert await status_of(stub.ModelInfer(request)) == (
        StatusCode.NOT_FOUND,
        "Request for unknown model: 'nope' is not found",
    )


async def test_cancelled_call_leaves_its_neighbours_their_answers(stub: Any, gate: Gate) -> None:
    running = stub.ModelInfer(gated(HELD))
    await gate.reached()
    waiting = [stub.ModelInfer(gated((index, -2.0), str(index))) for index in range(6)]
    await live(stub)
    waiting[2].cancel()
    waiting[5].cancel()
    await live(stub)
    gate.open()
    assert output(await running) == [14.0, 14.0]
    for index in (0, 1, 3, 4):
        reply = await waiting[index]
        assert (reply.id, output(reply)) == (str(index), [2.0 * index, -4.0])


async def test_call_cancelled_while_it_runs_leaves_the_model_usable(
    app: App, stub: Any, gate: Gate
) -> None:
    running = stub.ModelInfer(gated(HELD))
    await gate.reached()
    running.cancel()
    gate.open()
    assert output(await stub.ModelInfer(gated((1.0, 2.0)))) == [2.0, 4.0]


async def test_model_that_raises_answers_only_its_own_batch(stub: Any) -> None:
    status, _ = await status_of(stub.ModelInfer(gated((-1.0, 0.0))))
    assert status is StatusCode.INTERNAL
    assert output(await stub.ModelInfer(gated((1.0, 0.0)))) == [2.0, 0.0]


async def test_deadline_ends_the_call_and_nothing_else(stub: Any, gate: Gate) -> None:
    running = stub.ModelInfer(gated(HELD))
    await gate.reached()
    late = stub.ModelInfer(gated((1.0, 1.0)), timeout=0.2)
    waiting = stub.ModelInfer(gated((2.0, 2.0)))
    assert (await status_of(late))[0] in (StatusCode.DEADLINE_EXCEEDED, StatusCode.UNAVAILABLE)
    gate.open()
    assert output(await running) == [14.0, 14.0]
    assert output(await waiting) == [4.0, 4.0]


async def test_client_that_hangs_up_leaves_nothing(address: str, stub: Any, gate: Gate) -> None:
    async with grpc.aio.insecure_channel(address) as doomed:
        other = service_pb2_grpc.GRPCInferenceServiceStub(doomed)
        unary = other.ModelInfer(gated(HELD))
        await gate.reached()
        stream = other.ModelStreamInfer(iter([gated((1.0, 1.0)) for _ in range(100)]))
        await live(other)
    await settle(unary)
    await settle(stream.read())
    gate.open()
    assert output(await stub.ModelInfer(gated((1.0, 2.0)))) == [2.0, 4.0]


async def test_hundreds_of_cancelled_calls_leave_no_task(stub: Any) -> None:
    await live(stub)
    before = len(asyncio.all_tasks())
    for _ in range(5):
        calls = [stub.ModelInfer(echo()) for _ in range(100)]
        for call in calls:
            call.cancel()
        await asyncio.gather(*map(settle, calls))
    del calls, call
    gc.collect()
    for _ in range(10):
        await live(stub)
    assert len(asyncio.all_tasks()) < before + 20


async def test_mutated_messages_get_a_named_status(channel: grpc.aio.Channel, stub: Any) -> None:
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    chance = random.Random(5)
    seen = set()
    for _ in range(300):
        data = bytearray(echo().SerializeToString())
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        call = infer(bytes(data))
        await settle(call)
        seen.add(await call.code())
    assert seen <= {
        StatusCode.OK,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.UNIMPLEMENTED,
    }
    assert StatusCode.INVALID_ARGUMENT in seen
    assert await live(stub)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        os.urandom(4096),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 512,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
        b"",
    ],
    ids=["http1", "noise", "bad frames", "half a preface", "nothing"],
)
async def test_connection_that_speaks_no_grpc_costs_nobody_else(
    app: App, stub: Any, sent: bytes
) -> None:
    assert app.grpc is not None
    _, writer = await asyncio.open_connection("127.0.0.1", app.grpc.port)
    writer.write(sent)
    await writer.drain()
    assert (await stub.ModelInfer(echo())).raw_output_contents[0] == bytes(16)
    writer.close()


async def test_huge_metadata_is_refused_and_costs_nobody_else(stub: Any) -> None:
    huge = (("x-padding", "a" * 1_000_000),)
    status, _ = await status_of(stub.ModelInfer(echo(), metadata=huge))
    assert status is StatusCode.RESOURCE_EXHAUSTED
    assert (await stub.ModelInfer(echo())).raw_output_contents[0] == bytes(16)


async def test_thousand_idle_streams_cost_nobody_else_and_leave_nothing(
    app: App, address: str, stub: Any
) -> None:
    assert app.grpc is not None
    forever = asyncio.Event()

    async def nothing() -> AsyncIterator[Any]:
        await forever.wait()
        yield

    async with grpc.aio.insecure_channel(address) as crowd:
        other = service_pb2_grpc.GRPCInferenceServiceStub(crowd)
        streams = [other.ModelStreamInfer(nothing()) for _ in range(1000)]
        await live(other)
        assert (await stub.ModelInfer(echo())).raw_output_contents[0] == bytes(16)
        for stream in streams:
            stream.cancel()
    while app.grpc.calls:  # cancellations arrive one by one
        await live(stub)
    assert app.grpc.inflight_bytes == 0


async def test_stream_that_sends_and_never_reads_is_held_back(app: App, stub: Any) -> None:
    assert app.grpc is not None
    message = echo(shape=[8192, 4], raw=bytes(131_072))
    message.model_name = "wide"
    sent = 0

    async def requests() -> AsyncIterator[Any]:
        nonlocal sent
        for _ in range(2000):
            sent += 1
            yield message

    call = stub.ModelStreamInfer(requests())
    while sent < 40:
        await live(stub)
    for _ in range(50):
        await live(stub)
    assert sent < 1000
    assert app.grpc.inflight_bytes <= (MAX_IN_FLIGHT + 1) * 2 * 140_000
    call.cancel()
    await settle(call.read())
    while app.grpc.calls:
        await live(stub)
    assert app.grpc.inflight_bytes == 0


async def test_drain_answers_what_was_accepted_and_ends_idle_streams(
    app: App, channel: grpc.aio.Channel, stub: Any, gate: Gate
) -> None:
    forever = asyncio.Event()

    async def requests() -> AsyncIterator[Any]:
        yield gated((3.0, 3.0))
        await forever.wait()

    running = stub.ModelInfer(gated(HELD))
    await gate.reached()
    stream = stub.ModelStreamInfer(requests())
    await live(stub)
    drain = asyncio.create_task(app.drain())
    while app.gateway.server_ready():
        await live(stub)
    check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert (await check).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await status_of(stub.ModelInfer(echo())))[0] is StatusCode.UNAVAILABLE
    gate.open()
    assert output(await running) == [14.0, 14.0]
    assert output((await stream.read()).infer_response) == [6.0, 6.0]
    with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping"):
        await stream.read()
    await drain
