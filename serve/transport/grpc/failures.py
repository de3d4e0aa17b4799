"""How an error becomes a gRPC status, or the text of an in-band error; each is counted once."""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

import grpc

from serve.errors import Code, PenstockError, Unavailable
from serve.gateway.interface import DataPlane
from serve.protocol.status import StatusTable

__all__ = ["Failures"]

logger = logging.getLogger("penstock.grpc")

RETRY_PUSHBACK_KEY = "grpc-retry-pushback-ms"
_MAX_MESSAGE_BYTES = 2048
"""A status message is a header, percent-encoded: clients accept some 8 KB of headers in all."""


class Failures:
    """Renders errors for one server."""

    def __init__(self, plane: DataPlane, status_table: StatusTable) -> None:
        self._plane = plane
        self._codes = {code: grpc.StatusCode[name] for code, name in status_table.grpc.items()}

    def describe(self, error: Exception, model_name: str) -> str:
        """Count the error and give the text a client may see; the unexpected is only logged."""
        if isinstance(error, PenstockError):
            self._plane.count_error("grpc", error.code, model_name)
            return _shortened(str(error))
        logger.error("a call failed unexpectedly", exc_info=error)
        self._plane.count_error("grpc", Code.INTERNAL, model_name)
        return "internal error"

    async def abort(
        self, context: grpc.aio.ServicerContext, error: Exception, model_name: str = ""
    ) -> NoReturn:
        """End the call with the status of ``error``."""
        message = self.describe(error, model_name)
        code = error.code if isinstance(error, PenstockError) else Code.INTERNAL
        trailers: tuple[tuple[str, str], ...] = ()
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            trailers = ((RETRY_PUSHBACK_KEY, str(max(0, round(error.retry_after_s * 1000)))),)
        try:
            await context.abort(self._codes[code], message, trailers)
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError:
            # The client went while it was told. That is no fault, which grpc would log it as.
            raise asyncio.CancelledError from None
        raise AssertionError("abort returned")


def _shortened(message: str) -> str:
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= _MAX_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore") + "..."
