"""One request and its answer, in its place among those of its connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from serve.errors import (
    DeadlineExceeded,
    InternalError,
    NotReady,
    Overloaded,
    PenstockError,
    TooLarge,
)
from serve.tensors import InferRequest
from serve.transport.http.compression import (
    Buffer,
    body_coding,
    deflate,
    inflate,
    response_coding,
)
from serve.transport.http.context import LARGE_BODY_BYTES, Context
from serve.transport.http.headers import (
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_ENCODING,
    request_id,
    traceparent,
)
from serve.transport.http.problems import method_not_allowed
from serve.transport.http.response import JSON, OK_JSON, error_body, error_head, head
from serve.transport.http.routes import Route

__all__ = ["Carrier", "Exchange", "Refusal"]

logger = logging.getLogger("penstock.http")

MIN_COMPRESSED_BYTES = 1400  # an answer that fits one segment arrives no sooner for being shorter
MAX_JOINED_BYTES = 32 * 1024  # below it, copying the parts together costs less than a longer writev


class Carrier(Protocol):
    """The connection as its exchanges see it."""

    def answered(self, exchange: Exchange) -> None:
        """``exchange.answer`` is there; it is sent once all earlier ones are."""

    def is_last(self, exchange: Exchange) -> bool:
        """Whether nothing of a later request has been received."""


class Exchange:
    """A complete request; handlers give it its answer, now or when a future is done.

    ``connection`` is None once the answer has been handed to it, or the client has gone.
    """

    __slots__ = (
        "answer",
        "body",
        "body_bytes",
        "connection",
        "context",
        "future",
        "headers",
        "keep_alive",
        "method",
        "received_ns",
        "request",
        "route",
        "shaped",
        "target",
        "then",
    )

    lingers = False
    """Whether input that nobody will read may still be on its way when the answer is sent."""

    def __init__(
        self,
        connection: Carrier,
        context: Context,
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        body: Buffer,
        body_bytes: int,
        received_ns: int,
        keep_alive: bool,
        shaped: bool,
    ) -> None:
        self.connection: Carrier | None = connection
        self.context = context
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.body_bytes = body_bytes  # counted in the context's inflight_bytes
        self.received_ns = received_ns
        self.keep_alive = keep_alive
        self.shaped = shaped  # anything but the plain form of request and answer
        self.answer: Buffer | list[Buffer] | None = None
        self.future: asyncio.Future[Any] | None = None
        self.request: InferRequest | None = None
        self.route: Route | None = None

    def begin(self) -> None:
        """Hand the request to the handler of its path; never raises."""
        try:
            if self.shaped and self.body:
                coding = body_coding(self.headers.get(CONTENT_ENCODING, b""))
                if coding:
                    self._inflate(coding)
                    return
            self._handle()
        except PenstockError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001 - a bug costs this one request, not the connection
            self._crash()

    def _handle(self) -> None:
        route = self.route = self.context.routes.resolve(self.target)
        handler = route.handlers.get(self.method)
        if handler is None:
            raise method_not_allowed(route.allow)
        handler(self)

    def wait(self, future: asyncio.Future[Any], then: Callable[[Exchange, Any], None]) -> None:
        """Call ``then(exchange, result)`` when the future is done; cancel it if the client goes."""
        self.future = future
        self.then = then
        if future.done():
            self._resolved(future)
        else:
            future.add_done_callback(self._resolved)

    def _resolved(self, future: asyncio.Future[Any]) -> None:
        if self.connection is None:
            if not future.cancelled():
                future.exception()  # nobody is left to be told; asyncio would report it
            return
        self.future = None
        try:
            self.then(self, future.result())
        except PenstockError as error:
            self.fail(error)
        except asyncio.CancelledError:
            self.fail(NotReady("the server withdrew the request; try again"))
        except Exception:  # noqa: BLE001 - a bug costs this one request, not the connection
            self._crash()

    def withdraw(self) -> None:
        """The client has gone: cancel what is under way for it."""
        self.release()
        if self.future is not None:
            self.future.cancel()

    def release(self) -> None:
        """Give back what the request holds; called once, when it is answered or withdrawn."""
        self.context.inflight_bytes -= self.body_bytes
        self.connection = None

    def reply(
        self,
        parts: Sequence[Buffer],
        *,
        status: int = 200,
        content_type: bytes = JSON,
        extra: bytes = b"",
    ) -> None:
        """Answer with the parts as body; ``extra`` are whole header lines."""
        if (
            not self.shaped
            and len(parts) == 1
            and type(body := parts[0]) is bytes
            and len(body) <= MAX_JOINED_BYTES
            and status == 200
            and content_type is JSON
            and not extra
            and not self.context.draining
        ):
            self._send(b"%b%d\r\n\r\n%b" % (OK_JSON, len(body), body))
            return
        flat = [_flat(part) for part in parts]
        length = sum(map(len, flat))
        coding = b""
        if length >= MIN_COMPRESSED_BYTES and ACCEPT_ENCODING in self.headers:
            coding = response_coding(self.headers[ACCEPT_ENCODING])
        if not coding:
            self._send_parts(flat, status, content_type, extra)
            return
        extra += b"Content-Encoding: %b\r\nVary: Accept-Encoding\r\n" % coding

        def send(exchange: Exchange, compressed: bytes) -> None:
            exchange._send_parts([compressed], status, content_type, extra)

        if length > LARGE_BODY_BYTES:
            context = self.context
            self.wait(context.loop.run_in_executor(context.pool, deflate, flat, coding), send)
        else:
            send(self, deflate(flat, coding))

    def _send_parts(
        self, parts: list[Buffer], status: int, content_type: bytes, extra: bytes
    ) -> None:
        if self.context.draining and self.connection and self.connection.is_last(self):
            self.keep_alive = False
        if not self.keep_alive:
            extra += b"Connection: close\r\n"
        elif CONNECTION in self.headers:  # HTTP/1.0 asks for it and must be told
            extra += b"Connection: keep-alive\r\n"
        if echoed := request_id(self.headers):
            extra += b"X-Request-Id: %b\r\n" % echoed
        length = sum(map(len, parts))
        top = head(status, content_type, length, extra)
        if self.method == b"HEAD":
            self._send(top)
        elif length <= MAX_JOINED_BYTES:
            self._send(b"".join([top, *parts]))
        else:
            self._send([top, *parts])

    def _send(self, answer: Buffer | list[Buffer]) -> None:
        if self.connection is not None:
            self.answer = answer
            self.connection.answered(self)

    def fail(self, error: PenstockError, *, logged: bool = False) -> None:
        """Answer with an error, and count it; no effect once there is an answer."""
        if self.connection is None or self.answer is not None:
            return
        status, extra = error_head(error, self.context.status)
        model_name = self.route.model_name if self.route else ""
        self.context.count_error(error.code, model_name)
        if status >= 500 and not logged:
            # Under overload these come by the ten thousand a second, and metrics count them.
            expected = isinstance(error, Overloaded | DeadlineExceeded)
            logger.log(
                logging.DEBUG if expected else logging.WARNING,
                "answered %d: %s",
                status,
                error,
                extra=self._log_fields(model_name),
            )
        self.reply([error_body(error)], status=status, extra=extra)

    def _crash(self) -> None:
        model_name = self.route.model_name if self.route else ""
        logger.exception("unexpected error in a request", extra=self._log_fields(model_name))
        self.fail(InternalError("internal error"), logged=True)

    def _log_fields(self, model_name: str) -> dict[str, str]:
        return {
            "request_id": request_id(self.headers).decode(),
            "traceparent": traceparent(self.headers),
            "model": model_name,
        }

    def _inflate(self, coding: bytes) -> None:
        context = self.context
        if len(self.body) <= LARGE_BODY_BYTES:
            inline_bytes = min(LARGE_BODY_BYTES, context.max_body_bytes)
            try:
                plain = inflate(self.body, coding, inline_bytes)
            except TooLarge:
                if inline_bytes == context.max_body_bytes:
                    raise
            else:
                Exchange._inflated(self, plain)
                return
        # Large, or small and growing large: off the loop, where the time it takes is nobody's.
        work = context.loop.run_in_executor(
            context.pool, inflate, self.body, coding, context.max_body_bytes
        )
        self.wait(work, Exchange._inflated)

    def _inflated(self, plain: bytes) -> None:
        context = self.context
        context.inflight_bytes += len(plain) - self.body_bytes
        self.body_bytes = len(plain)
        self.body = plain
        if context.inflight_bytes > context.max_inflight_bytes:
            raise context.too_many_bytes()
        self._handle()


class Refusal(Exchange):
    """The last answer on a connection whose input cannot, or need not, be read any further."""

    __slots__ = ("_error",)

    lingers = True

    def __init__(self, connection: Carrier, context: Context, error: PenstockError) -> None:
        super().__init__(connection, context, b"", b"", {}, b"", 0, 0, False, True)
        self._error = error

    def begin(self) -> None:
        """Answer with the error."""
        self.fail(self._error)


def _flat(part: Buffer) -> Buffer:
    """A buffer whose ``len`` is its number of bytes."""
    if isinstance(part, memoryview) and (part.ndim != 1 or part.itemsize != 1):
        return part.cast("B") if part.nbytes else b""
    return part
