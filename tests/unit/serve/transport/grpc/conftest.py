"""A server on a real socket in front of a data plane whose answers the test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferInput, service_pb2, service_pb2_grpc

from serve.clock import monotonic_ns
from serve.config import GrpcSettings
from serve.errors import Code, NotFound
from serve.gateway.interface import Outcome
from serve.protocol.status import DEFAULT
from serve.repository.override import Override
from serve.tensors import InferRequest, InferResponse, Tensor
from serve.transport.grpc.server import GrpcServer, create_grpc_server
from tests.support.futures import done

METADATA = {"name": "penstock", "version": "1", "extensions": ["statistics"], "http_only": 1}
MODEL = {
    "name": "m",
    "versions": ["1", "2"],
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
}
CONFIG = {
    "name": "m",
    "max_batch_size": 8,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
    "dynamic_batching": {"max_queue_delay_microseconds": 5},
}
STATISTICS = {
    "model_stats": [
        {
            "name": "m",
            "version": "1",
            "last_inference": 1_700_000_000_000,
            "inference_count": 3,
            "inference_stats": {"success": {"count": 3, "ns": 2**40}},
            "batch_stats": [{"batch_size": 3, "compute_infer": {"count": 1, "ns": 5}}],
        }
    ]
}
INDEX = [
    {"name": "m", "version": "1", "state": "READY", "reason": ""},
    {"name": "bad", "version": "1", "state": "UNAVAILABLE", "reason": "no artefact"},
]


def echo(request: InferRequest) -> InferResponse:
    return InferResponse(request.model_name, "1", request.inputs, id=request.id)


class FakePlane:
    """Echoes at once; while ``held`` is set, the test answers the futures in ``arrivals``."""

    def __init__(self) -> None:
        self.ready = True
        self.held = False
        self.refusal: Exception | None = None
        self.errors: list[tuple[str, Code, str]] = []
        self.control: list[tuple[str, str]] = []
        self.arrivals: asyncio.Queue[tuple[InferRequest, asyncio.Future[InferResponse]]] = (
            asyncio.Queue()
        )

    def infer(self, request: InferRequest) -> asyncio.Future[InferResponse]:
        if self.refusal is not None:
            raise self.refusal
        future = asyncio.get_running_loop().create_future()
        self.arrivals.put_nowait((request, future))
        if not self.held:
            future.set_result(echo(request))
        return future

    def _known(self, name: str) -> None:
        if name not in ("m", ""):
            raise NotFound(f"Request for unknown model: '{name}' is not found")

    def signature(self, model_name: str, model_version: str) -> Any:
        raise NotImplementedError

    def server_live(self) -> bool:
        return True

    def server_ready(self) -> bool:
        return self.ready

    def model_ready(self, model_name: str, model_version: str) -> bool:
        self._known(model_name)
        return model_version != "9"

    def server_metadata(self) -> dict[str, Any]:
        return METADATA

    def model_metadata(self, model_name: str, model_version: str) -> dict[str, Any]:
        self._known(model_name)
        return MODEL

    def model_config(self, model_name: str, model_version: str) -> dict[str, Any]:
        self._known(model_name)
        return CONFIG

    def statistics(self, model_name: str = "", model_version: str = "") -> dict[str, Any]:
        self._known(model_name)
        return STATISTICS

    def repository_index(self, ready_only: bool) -> asyncio.Future[list[dict[str, Any]]]:
        return done(INDEX[:1] if ready_only else INDEX)

    def load_model(self, model_name: str, override: Override) -> asyncio.Future[None]:
        self.control.append(("load", model_name, override))
        return done(None)

    def unload_model(self, model_name: str) -> asyncio.Future[None]:
        self.control.append(("unload", model_name))
        return done(None)

    def feedback(self, model_name: str, outcomes: Sequence[Outcome]) -> None:
        raise AssertionError("feedback comes over HTTP alone")

    def count_error(self, protocol: str, code: Code, model_name: str) -> None:
        self.errors.append((protocol, code, model_name))


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def settings() -> GrpcSettings:
    return GrpcSettings(host="127.0.0.1", port=0)


@pytest.fixture
async def server(plane: FakePlane, settings: GrpcSettings) -> AsyncIterator[GrpcServer]:
    server = create_grpc_server(plane, settings, monotonic_ns, DEFAULT)
    await server.start()
    yield server
    await server.stop(0)


@pytest.fixture
def address(server: GrpcServer) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture
def message() -> Callable[..., Any]:
    def build(request_id: str = "", values: tuple[float, float] = (1.0, 2.0), **fields: Any) -> Any:
        request = service_pb2.ModelInferRequest(model_name="m", id=request_id, **fields)
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        request.raw_input_contents.append(np.array(values, np.float32).tobytes())
        return request

    return build


@pytest.fixture
def triton_input() -> Any:
    triton = InferInput("x", [1, 2], "FP32")
    triton.set_data_from_numpy(np.array([[1.0, 2.0]], np.float32))
    return triton


@pytest.fixture
def answer() -> Callable[[InferRequest], InferResponse]:
    return echo


@pytest.fixture
def tensor() -> Callable[..., Tensor]:
    return lambda array: Tensor("x", "FP32", array)
