"""ModelStreamInfer: requests run side by side and are answered in the order they came.

A reader task starts requests; the call's own coroutine sends answers. At most ``MAX_IN_FLIGHT``
requests of a stream are between the two: beyond it nothing is read, and HTTP/2 flow control
holds the client back. What they hold is counted, answers included, over all streams and calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc

from serve.clock import Clock
from serve.errors import DeadlineExceeded, NotReady
from serve.gateway.interface import DataPlane
from serve.protocol.grpc_request import decode, peek
from serve.protocol.grpc_response import encode_stream, encode_stream_error
from serve.transport.grpc.call import Caller, answer_of, fitting, read_caller
from serve.transport.grpc.failures import Failures
from serve.transport.grpc.intake import Intake, Lease
from serve.transport.grpc.started import Refused, Started

__all__ = ["MAX_IN_FLIGHT", "StreamInfer"]

MAX_IN_FLIGHT = 64


class StreamInfer:
    """The handler of ModelStreamInfer for one server."""

    def __init__(
        self,
        plane: DataPlane,
        failures: Failures,
        clock: Clock,
        intake: Intake,
        stopping: asyncio.Event,
        *,
        max_message_bytes: int,
        write_timeout_s: float,
    ) -> None:
        self._plane = plane
        self._failures = failures
        self._clock = clock
        self._intake = intake
        self._stopping = stopping
        self._max_message_bytes = max_message_bytes
        self._write_timeout_s = write_timeout_s
        self._readers: set[asyncio.Task[None]] = set()

    def stop_reading(self) -> None:
        """Every open stream takes no further request, answers what it has, and ends."""
        for reader in self._readers:
            reader.cancel()

    async def handle(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> None:
        """Serve one stream to its end; a client that cancels cancels all its requests."""
        try:
            lease = self._intake.enter(context)
            # By itself: a status could not follow a first answer that is stuck with it.
            await context.send_initial_metadata(())
        except Exception as error:  # noqa: BLE001 - whatever happens, the client gets a status
            await self._failures.abort(context, error)
        caller = read_caller(context, self._clock())
        started: asyncio.Queue[Started | Refused | None] = asyncio.Queue()
        window = asyncio.Semaphore(MAX_IN_FLIGHT)
        reader = asyncio.create_task(self._read(messages, caller, started, window, lease))

        # Not the reader's own last act: a task that is cancelled before its first step has none.
        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # seen, should this call be gone too
            started.put_nowait(None)

        reader.add_done_callback(ended)
        self._readers.add(reader)
        entry: Started | Refused | None = None
        answer = b""
        try:
            while (entry := await self._next(started, lease)) is not None:
                answer = await self._answer(entry, caller, context)
                await self._write(answer, context)
                entry.release()
                window.release()
            if not (reader.cancelled() and self._stopping.is_set()):
                reader.result()
                return
            failure: Exception = NotReady("the server is stopping, open the stream again elsewhere")
        except DeadlineExceeded as error:
            failure = error
        except asyncio.CancelledError:
            if not lease.abandoned:
                raise
            failure = NotReady(lease.abandoned)
        finally:
            reader.cancel()
            self._readers.discard(reader)
            _drop(entry, started)
        # All but the answer that is stuck is given back by now; this waits for as long as it is.
        if isinstance(failure, DeadlineExceeded):
            lease.hold(len(answer))
        await self._failures.abort(context, failure)

    async def _next(
        self, started: asyncio.Queue[Started | Refused | None], lease: Lease
    ) -> Started | Refused | None:
        if not started.empty():
            return started.get_nowait()
        lease.rest()
        entry = await started.get()
        lease.work()
        return entry

    async def _read(
        self,
        messages: AsyncIterator[bytes],
        caller: Caller,
        started: asyncio.Queue[Started | Refused | None],
        window: asyncio.Semaphore,
        lease: Lease,
    ) -> None:
        await window.acquire()
        async for data in messages:
            started.put_nowait(self._start(data, caller, lease))
            await window.acquire()

    def _start(self, data: bytes, caller: Caller, lease: Lease) -> Started | Refused:
        now_ns = self._clock()
        try:
            lease.hold_message(len(data))
        except Exception as error:  # noqa: BLE001 - answered on the stream, in its turn
            return Refused(*peek(data), error)
        try:
            request = decode(data)
            caller.stamp(request, now_ns)
            return Started(request, self._plane.infer(request), lease, len(data))
        except Exception as error:  # noqa: BLE001 - answered on the stream, in its turn
            lease.hold(-len(data))
            return Refused(*peek(data), error)

    async def _answer(
        self, entry: Started | Refused, caller: Caller, context: grpc.aio.ServicerContext
    ) -> bytes:
        if isinstance(entry, Refused):
            request_id, model_name, error = entry.request_id, entry.model_name, entry.error
        else:
            request = entry.request
            try:
                answer = encode_stream(request, await answer_of(entry.future))
                return fitting(answer, self._max_message_bytes)
            except Exception as failure:  # noqa: BLE001 - answered on the stream
                request_id, model_name, error = request.id, request.model_name, failure
        if caller.wants_status:
            await self._failures.abort(context, error, model_name)
        return encode_stream_error(
            self._failures.describe(error, model_name), request_id, model_name
        )

    async def _write(self, answer: bytes, context: grpc.aio.ServicerContext) -> None:
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await context.write(answer)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no answer was read for {self._write_timeout_s:g} s (--write-timeout)"
            ) from None


def _drop(
    entry: Started | Refused | None, started: asyncio.Queue[Started | Refused | None]
) -> None:
    """Withdraw what is not answered, the one in hand included."""
    while True:
        if entry is not None:
            entry.withdraw()
        if started.empty():
            return
        entry = started.get_nowait()
