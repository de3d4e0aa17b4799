"""From received bytes to complete requests: the parser's callbacks and the limits on input."""

from __future__ import annotations

from typing import Protocol, cast

import httptools

from serve.errors import TooLarge
from serve.transport.http.body import LargeBody
from serve.transport.http.compression import Buffer
from serve.transport.http.context import LARGE_BODY_BYTES, Context
from serve.transport.http.exchange import Carrier, Exchange
from serve.transport.http.headers import (
    CONTENT_LENGTH,
    EXPECT,
    INFERENCE_LENGTH,
    KNOWN,
    TRANSFER_ENCODING,
    UPGRADE,
)
from serve.transport.http.problems import (
    bad_request,
    expectation_failed,
    headers_too_large,
    raised_in_callback,
    unsupported_transfer_coding,
)
from serve.transport.http.request_head import END, NO_HEAD, NOTHING_KNOWN, Head, KnownHead

__all__ = ["BODY", "HEAD", "IDLE", "Receiver", "RequestReader"]

IDLE, HEAD, BODY = range(3)  # what of a request has been received


class _Closed(Exception):
    """Stops the parser in the middle of its input, after an answer that closed the connection."""


class Receiver(Carrier, Protocol):
    """The connection as its reader sees it."""

    def received(self, exchange: Exchange) -> None:
        """A request is complete; called while ``feed`` or ``grown`` runs."""


class RequestReader:
    """Reads the requests of one connection, one after the other.

    A body declared above ``LARGE_BODY_BYTES`` is not parsed: ``large`` is then the buffer that
    the connection fills from the socket, telling ``grown``, before it feeds anything else.
    """

    __slots__ = (
        "_awaited",
        "_between",
        "_body",
        "_body_bytes",
        "_closed",
        "_completed",
        "_context",
        "_head_alone",
        "_header_bytes",
        "_headers",
        "_last",
        "_now_ns",
        "_parser",
        "_partial_bytes",
        "_received_ns",
        "_receiver",
        "_shaped",
        "_target",
        "_upgrade_bytes",
        "_usual",
        "continue_due",
        "large",
        "phase",
        "since_ns",
    )

    def __init__(self, receiver: Receiver, context: Context) -> None:
        # Shared
        self._context = context
        # Per connection
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._now_ns = self.since_ns = context.clock()
        self._closed = False
        self._completed = 0  # requests in what is being fed
        self._between = True  # nothing of a request is in the parser, not even an empty line
        # Per request
        self._received_ns = 0
        self._last = NO_HEAD, 0  # the last request that was complete
        self._usual = NOTHING_KNOWN  # what the last one was recalled by
        self._awaited: KnownHead | None = None  # recalled, and its body has yet to come
        self._head_alone = b""  # in the parser, where a head came without its body
        self._reset()

    def _reset(self) -> None:
        self.phase = IDLE
        self.since_ns = self._now_ns  # when the phase began
        self.continue_due = False
        self.large: LargeBody | None = None
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._partial_bytes = 0
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._shaped = False
        self._upgrade_bytes = 0

    def recall(self, data: bytes) -> Exchange | None:
        """The request that ``data`` completes, if its head is known by heart.

        That is one whole request, or the body of one whose head came alone, as many clients send
        them. None: ``feed`` has to see to it.
        """
        if not self._between:
            return None
        context = self._context
        known = self._awaited
        if known is not None:
            body = data
            now_ns = self._received_ns
        else:
            known = self._usual
            if not data.startswith(known.raw):
                found = context.heads.get(data[: data.find(END) + len(END)])
                if found is None:
                    return None
                self._usual = known = found
            body = data[known.head_bytes :]
            now_ns = context.clock()
        body_bytes = known.body_bytes
        if len(body) != body_bytes or context.draining:
            return None
        inflight_bytes = context.inflight_bytes + body_bytes
        if inflight_bytes > context.max_inflight_bytes:
            return None
        context.inflight_bytes = inflight_bytes
        self.since_ns = self._received_ns = now_ns
        if self._awaited is not None:
            self._awaited = None
            self.phase = IDLE
        return Exchange(self._receiver, context, known.head, body, body_bytes, now_ns, True)

    @property
    def fresh(self) -> bool:
        """Whether nothing of any request has been received."""
        return self._received_ns == 0

    def feed(self, data: Buffer) -> None:
        """Take in what was received.

        Raises:
            PenstockError: the input breaks HTTP or a limit; nothing more can be read from it.
        """
        self._now_ns = self._context.clock()
        if self._awaited is not None:
            # The body comes in pieces, or not as it was declared: for the parser, after all.
            data = b"".join([self._awaited.raw, data])
            self._awaited = None
            self.phase = IDLE
        elif self._between and data == self._usual.raw and self._usual.body_bytes:
            self._start()
            self.phase = BODY
            self._awaited = self._usual
            return
        before = self.phase
        body_before = self._body_bytes
        between, self._between = self._between, False
        self._completed = 0
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._closed:
                    data = self._decline_upgrade(memoryview(data)[upgrade.args[0] :])
                    if data and not self._closed:
                        continue
            except httptools.HttpParserCallbackError as error:
                if self._closed:
                    return
                raise raised_in_callback(error) from None
            except httptools.HttpParserError as error:
                raise bad_request(str(error)) from None
            break
        if self._completed:
            self._between = self._ends_request(data, before, body_before)
            head_alone, self._head_alone = self._head_alone, b""
            if self._between and (between or head_alone):
                message = b"".join([head_alone, data]) if head_alone else data
                self._context.heads.learn(message, *self._last)
            return
        # A second piece that completes nothing makes it a body in pieces, which is not recalled.
        self._head_alone = bytes(data) if between and bytes(data[-len(END) :]) == END else b""
        if before == self.phase and self._body_bytes == body_before:
            self._no_progress(data)

    def _ends_request(self, data: Buffer, before: int, body_before: int) -> bool:
        """Whether ``data`` ended one request exactly, so that the parser holds nothing of the next.

        The parser does not tell where a request ends, and is silent of what may be an empty line
        or the beginning of a method. But what is not of the body has to be of the head.
        """
        if self._completed != 1 or self.phase != IDLE:
            return False
        body_bytes = self._last[1] - body_before
        if before == BODY:
            return len(data) == body_bytes
        end = bytes(data).find(END)
        return end >= 0 and len(data) == end + len(END) + body_bytes

    def _no_progress(self, data: Buffer) -> None:
        """All of ``data`` went into one header, or into what frames a chunked body."""
        if self.phase == IDLE:
            # Part of a method, before the parser has anything to say; or empty lines (RFC 9112,
            # section 2.2), which are no request.
            if not bytes(data).strip(b"\r\n"):
                return
            self._start()
        self._partial_bytes += len(data)
        if self._partial_bytes > self._context.max_header_bytes:
            raise headers_too_large(self._context.max_header_bytes)

    def _start(self) -> None:
        self.phase = HEAD
        self.since_ns = self._received_ns = self._now_ns

    # The parser's callbacks

    def on_url(self, url: bytes) -> None:
        """The request target, or a part of it."""
        if self.phase == IDLE:
            if self._closed:
                raise _Closed
            self._start()
        self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header, or a trailer, of which none means anything here."""
        self._header_bytes += len(name) + len(value)
        name = name.lower()
        if self.phase != HEAD:
            return
        headers = self._headers
        if name not in KNOWN:
            headers.setdefault(name, value)
            return
        if KNOWN[name]:
            self._shaped = True
        # Repeated headers are one list (RFC 9110, section 5.2).
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        """Decide whether and how the body is read."""
        context = self._context
        if self._header_bytes + len(self._target) > context.max_header_bytes:
            raise headers_too_large(context.max_header_bytes)
        self.phase = BODY
        self.since_ns = self._now_ns
        self._partial_bytes = 0
        headers = self._headers
        if CONTENT_LENGTH in headers:
            # The parser has checked that it is digits, and fits 64 bits.
            size = int(headers[CONTENT_LENGTH][-20:])
            if size > context.max_body_bytes:
                raise self._body_too_large()
            if size > LARGE_BODY_BYTES:
                if size + context.inflight_bytes > context.max_inflight_bytes:
                    raise context.too_many_bytes()
                json_bytes = headers.get(INFERENCE_LENGTH, b"")[-20:]
                self.large = LargeBody(size, int(json_bytes) if json_bytes.isdigit() else 0)
        if self._shaped:
            self._check_shape()

    def _check_shape(self) -> None:
        headers = self._headers
        coding = headers.get(TRANSFER_ENCODING)
        if coding is not None and coding.lower() != b"chunked":
            raise unsupported_transfer_coding()
        expect = headers.get(EXPECT)
        if expect is not None:
            if expect.lower() != b"100-continue":
                raise expectation_failed()
            self.continue_due = self._parser.get_http_version() != "1.0"

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._partial_bytes = 0
        self._grow(len(data))
        if self.large is not None:
            self.large.append(data)
        elif not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def _grow(self, size_bytes: int) -> None:
        context = self._context
        self._body_bytes += size_bytes
        context.inflight_bytes += size_bytes
        if self._body_bytes > context.max_body_bytes:
            raise self._body_too_large()
        if context.inflight_bytes > context.max_inflight_bytes:
            raise context.too_many_bytes()

    def _body_too_large(self) -> TooLarge:
        return TooLarge(
            f"a request body may have at most {self._context.max_body_bytes} bytes"
            f" ({self._context.body_limit})"
        )

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._shaped and UPGRADE in self._headers and self._parser.should_upgrade():
            if TRANSFER_ENCODING in self._headers:
                raise bad_request("an Upgrade with a chunked body")
            # The parser takes what follows for the other protocol; to us it is the body.
            self._upgrade_bytes = int(self._headers.get(CONTENT_LENGTH, b"0")[-20:])
            if self._upgrade_bytes:
                return
        self._complete()

    def _complete(self) -> None:
        parser = self._parser
        method = parser.get_method()
        keep_alive = parser.should_keep_alive() and method != b"CONNECT"
        head = Head(
            method,
            self._target,
            self._headers,
            keep_alive,
            self._shaped or not keep_alive or method == b"HEAD",
        )
        body = self._body if self.large is None else self.large.view
        exchange = Exchange(
            self._receiver,
            self._context,
            head,
            body,
            self._body_bytes,
            self._received_ns,
            keep_alive,
        )
        self._last = head, self._body_bytes
        self._completed += 1
        self._reset()
        self._receiver.received(exchange)

    def _decline_upgrade(self, rest: memoryview) -> memoryview:
        """Go on in HTTP/1.1 after a request that offered another protocol (RFC 9110, 7.8)."""
        size = self._upgrade_bytes
        if size:
            body = self.large = self.large or LargeBody(size)
            body.append(rest[:size])
            self._grow(body.filled_bytes)
            if body.missing_bytes:
                return rest[:0]
            self._complete()
        self._renew()
        return rest[size:]

    # A large body, which does not go through the parser

    def grown(self, size_bytes: int) -> None:
        """So many bytes more are in ``large``, which may complete the request.

        Raises:
            PenstockError: too many bytes are held over all connections.
        """
        assert self.large is not None
        self._now_ns = self._context.clock()
        self._grow(size_bytes)
        if not self.large.missing_bytes:
            self._complete()
            self._renew()

    def _renew(self) -> None:
        """Parse on after a body that the parser has not seen."""
        if not self._closed:
            self._parser = httptools.HttpRequestParser(self)
            self._between = True

    def close(self) -> None:
        """Forget the request that is being received, and read no more; may come in a callback."""
        self._context.inflight_bytes -= self._body_bytes
        self._reset()
        self._closed = True
        # Breaks both cycles, so that a closed connection is freed at once.
        self._parser = cast(httptools.HttpRequestParser, None)
        self._receiver = cast(Receiver, None)
