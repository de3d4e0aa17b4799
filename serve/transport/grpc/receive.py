"""The one message of a call, read when there is room for it.

Methods of one message are registered as if they took a stream of them, which is the same on the
wire: grpc would otherwise read the message before the first line of their handler.
"""

from __future__ import annotations

import asyncio

import grpc

from serve.errors import DeadlineExceeded, InvalidRequest, TooLarge

__all__ = ["MAX_QUESTION_BYTES", "read_message", "read_question"]

MAX_QUESTION_BYTES = 64 * 1024
"""Of anything but inference: a name or two."""


async def read_message(context: grpc.aio.ServicerContext, timeout_s: float) -> bytes:
    """The message of the call.

    Raises:
        DeadlineExceeded: it did not come within ``timeout_s``.
        InvalidRequest: the client ended the call without one.
    """
    try:
        async with asyncio.timeout(timeout_s):
            data = await context.read()
    except TimeoutError:
        raise DeadlineExceeded(
            f"the message did not arrive within {timeout_s:g} s (--body-timeout)"
        ) from None
    if data is grpc.aio.EOF:
        raise InvalidRequest("the call ended without a message")
    return bytes(data)


async def read_question(context: grpc.aio.ServicerContext, timeout_s: float) -> bytes:
    """``read_message`` for what is not inference, and so not large."""
    data = await read_message(context, timeout_s)
    if len(data) > MAX_QUESTION_BYTES:
        raise TooLarge(f"the message has {len(data)} bytes, at most {MAX_QUESTION_BYTES} are taken")
    return data
