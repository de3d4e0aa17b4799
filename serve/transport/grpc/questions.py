"""GRPCInferenceService other than inference: ask the data plane, render its reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from serve.errors import Unsupported
from serve.gateway.interface import DataPlane, Reply
from serve.protocol.grpc_messages import parse, serialise
from serve.protocol.quoting import quoted
from serve.repository.override import override_of
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.intake import Intake
from serve.transport.grpc.receive import read_message, read_question

__all__ = ["Questions"]

Handler = Callable[[AsyncIterator[bytes], grpc.aio.ServicerContext], Coroutine[Any, Any, bytes]]
Answer = Callable[[Any], Awaitable[Reply]]
"""From a request's message to the reply, in JSON form."""

_NOT_OFFERED = {
    "SystemSharedMemoryStatus": "shared memory",
    "SystemSharedMemoryRegister": "shared memory",
    "SystemSharedMemoryUnregister": "shared memory",
    "CudaSharedMemoryStatus": "shared memory",
    "CudaSharedMemoryRegister": "shared memory",
    "CudaSharedMemoryUnregister": "shared memory",
    "TraceSetting": "the trace extension",
    "LogSettings": "the logging extension",
}


class Questions:
    """The handlers for one server. Each method takes a request and gives a reply in JSON form."""

    def __init__(
        self,
        plane: DataPlane,
        failures: Failures,
        stopping: asyncio.Event,
        intake: Intake,
        *,
        message_timeout_s: float,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._intake = intake
        self._stopping = stopping
        self._message_timeout_s = message_timeout_s

    def handlers(self) -> Iterator[tuple[str, Handler]]:
        """Name and handler of each method, those not offered included."""
        answers = (
            ("ServerLive", self._server_live),
            ("ServerReady", self._server_ready),
            ("ServerMetadata", self._server_metadata),
            ("ModelReady", self._model_ready),
            ("ModelMetadata", self._model_metadata),
            ("ModelConfig", self._model_config),
            ("ModelStatistics", self._model_statistics),
        )
        for method, answer in answers:
            yield method, self._handler(method, _at_once(answer))
        yield "RepositoryIndex", self._handler("RepositoryIndex", self._repository_index)
        yield "RepositoryModelLoad", self._load_handler()
        yield "RepositoryModelUnload", self._handler("RepositoryModelUnload", self._unload)
        for method, what in _NOT_OFFERED.items():
            yield method, self._refusal(f"{method}: this server does not offer {what}")

    def _handler(self, method: str, answer: Answer) -> Handler:
        request_type = getattr(service_pb2, f"{method}Request")
        reply_type = getattr(service_pb2, f"{method}Response")

        async def handle(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
            model_name = ""
            try:
                data = await read_question(context, self._message_timeout_s)
                request = parse(request_type, data)
                model_name = getattr(request, "name", "") or getattr(request, "model_name", "")
                return serialise(reply_type, await answer(request))
            except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
                await self._failures.abort(context, error, model_name)

        return handle

    def _load_handler(self) -> Handler:
        """The one question that may be large: it may bring a model along."""

        async def handle(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
            model_name = ""
            try:
                lease = self._intake.enter(context)
                data = await read_message(context, self._message_timeout_s)
                lease.hold_message(len(data))
                request = await asyncio.to_thread(
                    parse, service_pb2.RepositoryModelLoadRequest, data
                )
                model_name = request.model_name
                del data
                return serialise(service_pb2.RepositoryModelLoadResponse, await self._load(request))
            except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
                await self._failures.abort(context, error, model_name)

        return handle

    def _refusal(self, message: str) -> Handler:
        async def handle(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
            await self._failures.abort(context, Unsupported(message))

        return handle

    def _server_live(self, request: Any) -> Reply:
        return {"live": self._plane.server_live()}

    def _server_ready(self, request: Any) -> Reply:
        return {"ready": self._plane.server_ready() and not self._stopping.is_set()}

    def _server_metadata(self, request: Any) -> Reply:
        return self._plane.server_metadata()

    def _model_ready(self, request: Any) -> Reply:
        return {"ready": self._plane.model_ready(request.name, request.version)}

    def _model_metadata(self, request: Any) -> Reply:
        return self._plane.model_metadata(request.name, request.version)

    def _model_config(self, request: Any) -> Reply:
        return {"config": self._plane.model_config(request.name, request.version)}

    def _model_statistics(self, request: Any) -> Reply:
        return self._plane.statistics(request.name, request.version)

    async def _repository_index(self, request: Any) -> Reply:
        _refuse_repository_name(request)
        return {"models": await self._plane.repository_index(request.ready)}

    async def _load(self, request: Any) -> Reply:
        _refuse_repository_name(request)
        parameters = {}
        for key, value in request.parameters.items():
            choice = value.WhichOneof("parameter_choice")
            parameters[key] = getattr(value, choice) if choice else None
        await self._plane.load_model(request.model_name, override_of(parameters))
        return {}

    async def _unload(self, request: Any) -> Reply:
        _refuse_repository_name(request)
        for key, value in request.parameters.items():
            # Clients send unload_dependents=false with every call; nothing here has dependents.
            if key != "unload_dependents" or value.WhichOneof("parameter_choice") != "bool_param":
                raise Unsupported(f"parameters.{quoted(key)} is not supported, leave it out")
        await self._plane.unload_model(request.model_name)
        return {}


def _at_once(answer: Callable[[Any], Reply]) -> Answer:
    async def answered(request: Any) -> Reply:
        return answer(request)

    return answered


def _refuse_repository_name(request: Any) -> None:
    if request.repository_name:
        raise Unsupported("repository_name is not supported: there is one repository, leave it out")
