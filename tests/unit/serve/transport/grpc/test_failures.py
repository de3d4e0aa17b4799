"""How errors are told: status, text, hint; each counted once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import pytest

from serve.errors import Code, InvalidRequest, Overloaded
from serve.protocol.status import DEFAULT
from serve.transport.grpc.failures import Failures

Aborted = grpc.aio.AbortError


class Context:
    """Keeps the status that a call ends with."""

    async def abort(self, code: Any, message: str, trailers: Any) -> None:
        self.status = (code, message, trailers)
        raise Aborted


@pytest.fixture
def failures(plane: Any) -> Failures:
    return Failures(plane, DEFAULT)


async def test_abort_gives_status_text_and_hint(failures: Failures, plane: Any) -> None:
    context = Context()
    with pytest.raises(Aborted):
        await failures.abort(context, Overloaded("full", reason="queue", retry_after_s=0.5), "m")
    hint = (("grpc-retry-pushback-ms", "500"),)
    assert context.status == (grpc.StatusCode.UNAVAILABLE, "full", hint)
    assert plane.errors == [("grpc", Code.UNAVAILABLE, "m")]


async def test_client_that_goes_while_it_is_told_is_a_cancelled_call(failures: Failures) -> None:
    class Gone(Context):
        async def abort(self, code: Any, message: str, trailers: Any) -> None:
            raise grpc.aio.InternalError("failed")

    with pytest.raises(asyncio.CancelledError):
        await failures.abort(Gone(), InvalidRequest("bad"))


def test_long_texts_are_cut_between_characters(failures: Failures) -> None:
    text = failures.describe(InvalidRequest("é" * 5000), "m")
    assert text.startswith("éé")
    assert len(text.encode()) < 2100


def test_unexpected_errors_are_logged_and_not_told(
    failures: Failures, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "penstock.grpc"):
        assert failures.describe(ZeroDivisionError("secret"), "m") == "internal error"
    assert "secret" in caplog.text
