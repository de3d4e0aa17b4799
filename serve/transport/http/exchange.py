"""One request and its answer, in its place among those of its connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

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
from serve.transport.http.request_head import NO_HEAD, Head
from serve.transport.http.response import (
    INFERENCE_LENGTH_LINE,
    JSON,
    OCTETS,
    OK_OCTETS,
    error_body,
    error_head,
    head,
    ok_json_head,
)
from serve.transport.http.routes import Route

__all__ = ["Carrier", "Exchange", "refusal"]

logger = logging.getLogger("penstock.http")

MIN_COMPRESSED_BYTES = 1400  # an answer that fits one segment arrives no sooner for being shorter
MAX_JOINED_BYTES = 32 * 1024  # below it, copying the parts together costs less than a longer writev


class Carrier(Protocol):
    """The connection as its exchanges see it."""

    def answered(self, exchange: Exchange) -> None:
        """``exchange.answer`` is there; it is sent once all earlier ones are."""

    def is_last(self, exchange: Exchange) -> bool:
        """Whether nothing of a later request has been received."""

    def local_address(self) -> str:
        """host:port at which the client has reached us."""

    def peer_host(self) -> str:
        """The address of the client, or of the proxy that is between."""


class Cancellable(Protocol):
    """What is under way for a request: a ticket of the data plane, or a future."""

    def cancel(self) -> object:
        """Nobody waits for it any more."""


class Exchange(msgspec.Struct, eq=False, gc=False):
    """A complete request; handlers give it its answer, now or later.

    ``connection`` is None once the answer has been handed to it, or the client has gone.
    It is the ``Sink`` of what its handler submits to the data plane; ``then``, set before, is
    called with the exchange and the result that comes.
    """

    connection: Carrier | None
    context: Context
    head: Head
    body: Buffer
    body_bytes: int
    """Counted in the context's ``inflight_bytes``."""
    received_ns: int
    keep_alive: bool
    answer: Buffer | list[Buffer] | None = None
    ticket: Cancellable | None = None
    request: InferRequest | None = None
    then: Callable[[Exchange, Any], None] | None = None

    lingers: ClassVar[bool] = False
    """Whether input that nobody will read may still be on its way when the answer is sent."""

    @property
    def route(self) -> Route:
        """What the path names; handlers are called only once it is known."""
        assert self.head.route is not None
        return self.head.route

    def begin(self) -> None:
        """Hand the request to the handler of its path; never raises."""
        head = self.head
        if head.shaped and self.body:
            self.attempt(Exchange._open)
        else:
            self.attempt(head.handler or Exchange._resolve)

    def _open(self) -> None:
        coding = body_coding(self.head.headers.get(CONTENT_ENCODING, b""))
        if coding:
            self._inflate(coding)
        else:
            (self.head.handler or Exchange._resolve)(self)

    def attempt(self, step: Callable[[Exchange], None]) -> None:
        """Take a step with the request; what it raises is the answer."""
        try:
            step(self)
        except PenstockError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001 - a bug costs this one request, not the connection
            self._crash()

    def _resolve(self) -> None:
        """Find the handler, remember it, and hand the request to it."""
        head = self.head
        head.route = self.context.routes.resolve(head.target)
        handler = head.route.handlers.get(head.method)
        if handler is None:
            raise method_not_allowed(head.route.allow)
        head.handler = handler
        handler(self)

    def answered(self, result: Any) -> None:
        """See ``Sink``."""
        self.ticket = None
        if self.connection is None:
            return
        assert self.then is not None
        try:
            self.then(self, result)
        except PenstockError as error:
            self.fail(error)
        except Exception:  # noqa: BLE001 - a bug costs this one request, not the connection
            self._crash()

    def failed(self, error: PenstockError) -> None:
        """See ``Sink``."""
        self.ticket = None
        self.fail(error)

    def wait(self, future: asyncio.Future[Any], then: Callable[[Exchange, Any], None]) -> None:
        """Call ``then(exchange, result)`` when work in a thread is done."""
        self.then = then
        self.ticket = future
        future.add_done_callback(self._resolved)

    def _resolved(self, future: asyncio.Future[Any]) -> None:
        if self.connection is None:
            if not future.cancelled():
                future.exception()  # nobody is left to be told; asyncio would report it
        elif future.cancelled():
            self.failed(NotReady("the server withdrew the request; try again"))
        elif (error := future.exception()) is None:
            self.answered(future.result())
        elif isinstance(error, PenstockError):
            self.failed(error)
        else:
            self.ticket = None
            self._crash(error)

    def withdraw(self) -> None:
        """The client has gone: cancel what is under way for it."""
        ticket = self.ticket
        self.release()
        if ticket is not None:
            ticket.cancel()

    def release(self) -> None:
        """Give back what the request holds; called once, when it is answered or withdrawn."""
        self.context.inflight_bytes -= self.body_bytes
        self.connection = None
        self.ticket = None

    def reply_json(self, body: bytes) -> None:
        """Answer with JSON, by the shortest way where nothing else is asked for."""
        if self.head.shaped or len(body) > MAX_JOINED_BYTES or self.context.draining:
            self.reply([body])
        elif self.connection is not None:
            self.answer = ok_json_head(len(body)) + body
            self.connection.answered(self)

    def reply_binary(self, json_bytes: int, body: bytes) -> None:
        """Answer with JSON of so many bytes and tensors behind it, by the shortest way."""
        if self.head.shaped or len(body) > MAX_JOINED_BYTES or self.context.draining:
            self.reply([body], content_type=OCTETS, extra=INFERENCE_LENGTH_LINE % json_bytes)
        elif self.connection is not None:
            self.answer = OK_OCTETS % (json_bytes, len(body), body)
            self.connection.answered(self)

    def reply(
        self,
        parts: Sequence[Buffer],
        *,
        status: int = 200,
        content_type: bytes = JSON,
        extra: bytes = b"",
    ) -> None:
        """Answer with the parts as body; ``extra`` are whole header lines."""
        flat = [_flat(part) for part in parts]
        length = sum(map(len, flat))
        coding = b""
        if length >= MIN_COMPRESSED_BYTES and ACCEPT_ENCODING in self.head.headers:
            coding = response_coding(self.head.headers[ACCEPT_ENCODING])
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
        elif CONNECTION in self.head.headers:  # HTTP/1.0 asks for it and must be told
            extra += b"Connection: keep-alive\r\n"
        if echoed := request_id(self.head.headers):
            extra += b"X-Request-Id: %b\r\n" % echoed
        length = sum(map(len, parts))
        top = head(status, content_type, length, extra)
        if self.head.method == b"HEAD":
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
        model_name = self.head.route.model_name if self.head.route else ""
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

    def _crash(self, error: BaseException | None = None) -> None:
        model_name = self.head.route.model_name if self.head.route else ""
        logger.error(
            "unexpected error in a request",
            exc_info=error or True,
            extra=self._log_fields(model_name),
        )
        self.fail(InternalError("internal error"), logged=True)

    def _log_fields(self, model_name: str) -> dict[str, str]:
        return {
            "request_id": request_id(self.head.headers).decode(),
            "traceparent": traceparent(self.head.headers),
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
        (self.head.handler or Exchange._resolve)(self)


class _Refusal(Exchange):
    """The last answer on a connection whose input cannot, or need not, be read any further."""

    lingers: ClassVar[bool] = True

    error: PenstockError = PenstockError()

    def begin(self) -> None:
        """Answer with the error."""
        self.fail(self.error)


def refusal(connection: Carrier, context: Context, error: PenstockError) -> Exchange:
    """The last exchange of a connection: whatever was asked, ``error`` is the answer."""
    return _Refusal(connection, context, NO_HEAD, b"", 0, 0, keep_alive=False, error=error)


def _flat(part: Buffer) -> Buffer:
    """A buffer whose ``len`` is its number of bytes."""
    if isinstance(part, memoryview) and (part.ndim != 1 or part.itemsize != 1):
        return part.cast("B") if part.nbytes else b""
    return part
