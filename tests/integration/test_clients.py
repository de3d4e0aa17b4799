"""Clients that people have already, unchanged, and whether all of them get the same bits."""

from __future__ import annotations

import asyncio
import json
import queue
import shutil
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serve.app import App
from tests.support.running import RunningApp, free_ports

Row = npt.NDArray[np.float32]
LEFT = np.arange(16, dtype=np.int32).reshape(1, 16)
RIGHT = np.full((1, 16), 5, np.int32)


def simple_inputs(module: Any) -> list[Any]:
    inputs = [module.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
    for tensor, array in zip(inputs, (LEFT, RIGHT), strict=True):
        tensor.set_data_from_numpy(array)
    return inputs


def assert_simple(result: Any) -> None:
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), LEFT + RIGHT)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), LEFT - RIGHT)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    values = np.random.default_rng(7).standard_normal((24, 1, 30)).astype(np.float32)
    return list(values)


@pytest.fixture(scope="module")
def direct(triton_models: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        triton_models / "mlp/1/model.onnx", options, providers=["CPUExecutionProvider"]
    )


@pytest.fixture
async def app(triton_models: Path) -> AsyncIterator[App]:
    """A server on the test's own loop, for clients that are asynchronous."""
    app = App(triton_models, free_ports())
    await app.start()
    yield app
    await app.stop(0)


# each of tritonclient's clients


def test_triton_http_client_infers_now_and_later(triton_server: RunningApp) -> None:
    with tritonclient.http.InferenceServerClient(triton_server.http, concurrency=4) as client:
        assert client.is_server_ready()
        assert_simple(client.infer("simple", simple_inputs(tritonclient.http)))
        later = [client.async_infer("simple", simple_inputs(tritonclient.http)) for _ in range(8)]
        for request in later:
            assert_simple(request.get_result(timeout=30))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_triton_http_client_may_compress_both_ways(triton_server: RunningApp, coding: str) -> None:
    with tritonclient.http.InferenceServerClient(triton_server.http) as client:
        result = client.infer(
            "simple",
            simple_inputs(tritonclient.http),
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        assert_simple(result)


def test_triton_http_client_mixes_text_and_binary(triton_server: RunningApp) -> None:
    inputs = simple_inputs(tritonclient.http)
    inputs[0].set_data_from_numpy(LEFT, binary_data=False)
    outputs = [
        tritonclient.http.InferRequestedOutput("OUTPUT0", binary_data=False),
        tritonclient.http.InferRequestedOutput("OUTPUT1", binary_data=True),
    ]
    with tritonclient.http.InferenceServerClient(triton_server.http) as client:
        assert_simple(client.infer("simple", inputs, outputs=outputs))


def test_triton_grpc_client_infers_now_and_later(triton_server: RunningApp) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(triton_server.grpc) as client:
        assert client.is_server_ready()
        assert_simple(client.infer("simple", simple_inputs(tritonclient.grpc)))
        for _ in range(8):
            client.async_infer(
                "simple",
                simple_inputs(tritonclient.grpc),
                lambda result, error: answers.put((result, error)),
            )
        for _ in range(8):
            result, error = answers.get(timeout=30)
            assert error is None
            assert_simple(result)


def test_triton_grpc_client_streams_with_answers_in_order(triton_server: RunningApp) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(triton_server.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(16):
            model = "nobody" if number == 5 else "simple"
            client.async_stream_infer(
                model, simple_inputs(tritonclient.grpc), request_id=str(number)
            )
        for number in range(16):
            result, error = answers.get(timeout=30)
            if number == 5:
                assert "unknown model: 'nobody'" in str(error)
            else:
                assert result.get_response().id == str(number)
                assert_simple(result)
        client.stop_stream()


async def test_triton_http_aio_client_infers(app: App) -> None:
    assert app.http is not None
    address = f"127.0.0.1:{app.http.port}"
    async with tritonclient.http.aio.InferenceServerClient(address) as client:
        asked = [client.infer("simple", simple_inputs(tritonclient.http)) for _ in range(8)]
        for result in await asyncio.gather(*asked):
            assert_simple(result)


async def test_triton_grpc_aio_client_infers_and_streams(app: App) -> None:
    assert app.grpc is not None
    address = f"127.0.0.1:{app.grpc.port}"

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(8):
            inputs = simple_inputs(tritonclient.grpc)
            yield {"model_name": "simple", "inputs": inputs, "request_id": str(number)}

    async with tritonclient.grpc.aio.InferenceServerClient(address) as client:
        asked = [client.infer("simple", simple_inputs(tritonclient.grpc)) for _ in range(8)]
        for result in await asyncio.gather(*asked):
            assert_simple(result)
        ids = []
        async for result, error in client.stream_infer(requests()):
            assert error is None
            assert_simple(result)
            ids.append(result.get_response().id)
        assert ids == [str(number) for number in range(8)]


# the same bits


def by_curl(server: RunningApp, row: Row) -> bytes:
    data = [float(value) for value in row.flat]
    tensor = {"name": "x", "datatype": "FP32", "shape": list(row.shape), "data": data}
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--max-time", "60", "--data-binary", "@-",
         f"http://{server.http}/v2/models/mlp/infer"],
        input=json.dumps({"inputs": [tensor]}).encode(),
        capture_output=True,
        check=True,
    )  # fmt: skip
    return np.array(json.loads(done.stdout)["outputs"][0]["data"], np.float32).tobytes()


def by_grpcio(server: RunningApp, row: Row) -> bytes:
    request = service_pb2.ModelInferRequest(model_name="mlp")
    request.inputs.add(name="x", datatype="FP32", shape=row.shape)
    request.raw_input_contents.append(row.tobytes())
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        reply = stub.ModelInfer(request, timeout=60)
    return bytes(reply.raw_output_contents[0])


def by_tritonclient(module: Any, address: str, row: Row) -> bytes:
    tensor = module.InferInput("x", row.shape, "FP32")
    tensor.set_data_from_numpy(row)
    with module.InferenceServerClient(address) as client:
        return bytes(client.infer("mlp", [tensor]).as_numpy("probability").tobytes())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_client_gets_the_bits_of_onnxruntime(
    triton_server: RunningApp, direct: onnxruntime.InferenceSession, rows: list[Row]
) -> None:
    for row in rows[:6]:
        expected = direct.run(None, {"x": row})[0].tobytes()
        assert by_curl(triton_server, row) == expected
        assert by_grpcio(triton_server, row) == expected
        assert by_tritonclient(tritonclient.http, triton_server.http, row) == expected
        assert by_tritonclient(tritonclient.grpc, triton_server.grpc, row) == expected


def test_answers_under_concurrency_are_each_their_own_rows(
    triton_server: RunningApp, direct: onnxruntime.InferenceSession, rows: list[Row]
) -> None:
    """Not to the last bit: matrix products over more rows may add up in another order."""
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda row: by_grpcio(triton_server, row), rows * 4))
    for row, answer in zip(rows * 4, got, strict=True):
        expected = direct.run(None, {"x": row})[0].item()
        assert np.frombuffer(answer, np.float32).item() == pytest.approx(expected, rel=1e-5)


def test_answers_under_concurrency_have_the_same_bits_when_rows_are_independent(
    triton_server: RunningApp,
) -> None:
    """Element-wise work has no order to add up in, so a batch changes no bit."""

    def ask(number: int) -> bool:
        row = np.full((1, 16), number, np.int32)
        request = service_pb2.ModelInferRequest(model_name="simple")
        for name in ("INPUT0", "INPUT1"):
            request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
            request.raw_input_contents.append(row.tobytes())
        reply = stub.ModelInfer(request, timeout=60)
        return bytes(reply.raw_output_contents[0]) == (row + row).tobytes()

    with grpc.insecure_channel(triton_server.grpc) as channel, ThreadPoolExecutor(16) as pool:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert all(pool.map(ask, range(400)))
