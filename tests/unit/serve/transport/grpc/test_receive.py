"""The one message of a call."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from serve.errors import DeadlineExceeded, InvalidRequest, TooLarge
from serve.transport.grpc.receive import MAX_QUESTION_BYTES, read_message, read_question


class Context:
    """A call whose message is given, or never comes."""

    def __init__(self, message: object = None) -> None:
        self.message = message

    async def read(self) -> object:
        if self.message is None:
            await asyncio.Event().wait()
        return self.message


async def test_message_is_read() -> None:
    assert await read_message(Context(b"data"), 60) == b"data"


async def test_message_that_does_not_come_names_the_flag() -> None:
    with pytest.raises(DeadlineExceeded, match="--body-timeout"):
        await read_message(Context(), 0.001)


async def test_call_without_a_message_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="without a message"):
        await read_message(Context(grpc.aio.EOF), 60)


async def test_question_has_a_limit() -> None:
    assert await read_question(Context(bytes(MAX_QUESTION_BYTES)), 60)
    with pytest.raises(TooLarge):
        await read_question(Context(bytes(MAX_QUESTION_BYTES + 1)), 60)
