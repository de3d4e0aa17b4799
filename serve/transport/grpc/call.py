"""What a gRPC call says about itself, and how the answer to a request on it is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import grpc

from serve.clock import NS_PER_S
from serve.errors import Cancelled, DeadlineExceeded, TooLarge
from serve.tensors import InferRequest, InferResponse

__all__ = ["Caller", "Metadata", "answer_of", "fitting", "read_caller"]

TRACEPARENT_KEY = "traceparent"
STREAM_STATUS_KEY = "triton_grpc_error"


class Metadata:
    """The metadata of a call as ``Headers``: looked through only if somebody asks."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str | bytes]]) -> None:
        self._pairs = pairs

    def get(self, name: bytes, /) -> bytes | None:
        """See ``Headers.get``; gRPC has the names in lower case."""
        wanted = name.decode("latin-1")
        for key, value in self._pairs:
            if key == wanted:
                return value if isinstance(value, bytes) else value.encode()
        return None


class Caller(NamedTuple):
    """Deadline (monotonic, 0: none) and metadata of one call."""

    deadline_ns: int
    traceparent: str
    wants_status: bool
    """Whether an error closes the stream with its status, instead of being sent on it."""
    headers: Metadata

    def stamp(self, request: InferRequest, now_ns: int) -> None:
        """Write into a request what the call knows.

        Raises:
            DeadlineExceeded: the client has given up already.
        """
        if self.deadline_ns and self.deadline_ns <= now_ns:
            raise DeadlineExceeded("the deadline passed before the request was read")
        request.received_ns = now_ns
        request.deadline_ns = self.deadline_ns
        request.traceparent = self.traceparent
        request.headers = self.headers


def read_caller(context: grpc.aio.ServicerContext, now_ns: int) -> Caller:
    """The caller of ``context``, at ``now_ns`` by the server's clock."""
    remaining_s = context.time_remaining()
    traceparent, wants_status = "", False
    metadata = context.invocation_metadata() or ()
    for key, value in metadata:
        if key == TRACEPARENT_KEY:
            traceparent = value
        elif key == STREAM_STATUS_KEY:
            wants_status = value.lower() == "true"
    # At least 1, because 0 would say that there is no deadline.
    deadline_ns = 0 if remaining_s is None else max(1, now_ns + int(remaining_s * NS_PER_S))
    return Caller(deadline_ns, traceparent, wants_status, Metadata(metadata))


async def answer_of(future: asyncio.Future[InferResponse]) -> InferResponse:
    """The result of ``future``, which is cancelled if the running call is.

    A future that anybody else cancelled is an error: the client still waits for an answer.
    """
    try:
        return await future
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Cancelled("the server withdrew the request") from None


def fitting(answer: bytes, max_bytes: int) -> bytes:
    """``answer``, unless grpc would refuse to send it, and fail the call without a word."""
    if len(answer) > max_bytes:
        raise TooLarge(
            f"the answer has {len(answer)} bytes, {max_bytes} are allowed:"
            " ask for less, or raise --grpc-max-message-bytes"
        )
    return answer
