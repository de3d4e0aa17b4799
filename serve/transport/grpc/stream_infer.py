"""ModelStreamInfer: requests run side by side and are answered in the order they came.

A reader task starts requests; the call's own coroutine sends answers. At most ``MAX_IN_FLIGHT``
requests of a stream are between the two: beyond it nothing is read, and HTTP/2 flow control
holds the client back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc

from serve.clock import Clock
from serve.errors import NotReady
from serve.gateway.interface import DataPlane
from serve.protocol.grpc_request import decode, peek
from serve.protocol.grpc_response import encode_stream, encode_stream_error
from serve.tensors import InferRequest, InferResponse
from serve.transport.grpc.call import Caller, answer_of, read_caller
from serve.transport.grpc.failures import Failures

__all__ = ["MAX_IN_FLIGHT", "StreamInfer"]

MAX_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class _Started:
    """A request that the data plane took; its answer is owed."""

    request: InferRequest
    future: asyncio.Future[InferResponse]

    def withdraw(self) -> None:
        if not self.future.cancel() and not self.future.cancelled():
            self.future.exception()  # seen: asyncio would complain about it otherwise


@dataclass(frozen=True, slots=True)
class _Refused:
    """A message that was answered with an error at once."""

    request_id: str
    model_name: str
    error: Exception


class StreamInfer:
    """The handler of ModelStreamInfer for one server."""

    def __init__(
        self, plane: DataPlane, failures: Failures, clock: Clock, stopping: asyncio.Event
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._clock = clock
        self._stopping = stopping
        self._readers: set[asyncio.Task[None]] = set()

    def stop_reading(self) -> None:
        """Every open stream takes no further request, answers what it has, and ends."""
        for reader in self._readers:
            reader.cancel()

    async def handle(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> None:
        """Serve one stream to its end; a client that cancels cancels all its requests."""
        caller = read_caller(context, self._clock())
        started: asyncio.Queue[_Started | _Refused | None] = asyncio.Queue()
        window = asyncio.Semaphore(MAX_IN_FLIGHT)
        reader = asyncio.create_task(self._read(messages, caller, started, window))

        # Not the reader's own last act: a task that is cancelled before its first step has none.
        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # seen, should this call be gone too
            started.put_nowait(None)

        reader.add_done_callback(ended)
        self._readers.add(reader)
        if self._stopping.is_set():
            reader.cancel()
        try:
            while (entry := await started.get()) is not None:
                await context.write(await self._answer(entry, caller, context))
                window.release()
            if reader.cancelled() and self._stopping.is_set():
                error = NotReady("the server is stopping, open the stream again elsewhere")
                await self._failures.abort(context, error)
            reader.result()
        finally:
            reader.cancel()
            self._readers.discard(reader)
            while not started.empty():
                if isinstance(entry := started.get_nowait(), _Started):
                    entry.withdraw()

    async def _read(
        self,
        messages: AsyncIterator[bytes],
        caller: Caller,
        started: asyncio.Queue[_Started | _Refused | None],
        window: asyncio.Semaphore,
    ) -> None:
        await window.acquire()
        async for data in messages:
            started.put_nowait(self._start(data, caller))
            await window.acquire()

    def _start(self, data: bytes, caller: Caller) -> _Started | _Refused:
        now_ns = self._clock()
        try:
            request = decode(data)
            caller.stamp(request, now_ns)
            return _Started(request, self._plane.infer(request))
        except Exception as error:  # noqa: BLE001 - answered on the stream, in its turn
            return _Refused(*peek(data), error)

    async def _answer(
        self, entry: _Started | _Refused, caller: Caller, context: grpc.aio.ServicerContext
    ) -> bytes:
        if isinstance(entry, _Refused):
            request_id, model_name, error = entry.request_id, entry.model_name, entry.error
        else:
            request = entry.request
            try:
                return encode_stream(request, await answer_of(entry.future))
            except Exception as failure:  # noqa: BLE001 - answered on the stream
                request_id, model_name, error = request.id, request.model_name, failure
        if caller.wants_status:
            await self._failures.abort(context, error, model_name)
        return encode_stream_error(
            self._failures.describe(error, model_name), request_id, model_name
        )
