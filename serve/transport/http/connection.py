"""One HTTP connection: bytes in, answers out in order, time-outs, back-pressure, hang-ups."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

from serve.clock import NS_PER_S
from serve.errors import Code, PenstockError
from serve.transport.http.body import BodyReader
from serve.transport.http.compression import Buffer
from serve.transport.http.context import Context
from serve.transport.http.exchange import MAX_JOINED_BYTES, Exchange, refusal
from serve.transport.http.problems import timed_out
from serve.transport.http.reader import HEAD, IDLE, RequestReader
from serve.transport.http.response import REFUSED

__all__ = ["Connection"]

MAX_PENDING = 64  # pipelined requests that are worked on at once
MAX_HELD_BYTES = 64 * 1024  # answers that are held back to be sent together
MAX_REFUSED = 256  # connections beyond the limit that are told so; further ones are just closed
LINGER_NS = 2 * NS_PER_S
DRAIN_IDLE_NS = NS_PER_S

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# OPEN: requests are read. FINAL: the last one was. LINGERING: the last answer was sent, and what
# still arrives is dropped, because closing on unread input would reset the connection under the
# answer (RFC 9112, section 9.6). CLOSING: the transport was told to close.
OPEN, FINAL, LINGERING, CLOSING = range(4)


class Connection(asyncio.Protocol):
    """All of it runs on the event loop; nothing here blocks or waits."""

    __slots__ = (
        "_context",
        "_feeding",
        "_held",
        "_held_bytes",
        "_pending",
        "_pumping",
        "_read_paused",
        "_reader",
        "_stalled_since_ns",
        "_state",
        "_state_since_ns",
        "_transport",
        "_unsent_bytes",
        "_waiting",
        "_write_paused",
    )

    def __init__(self, context: Context) -> None:
        # Shared
        self._context = context
        # Per connection
        self._transport = cast(asyncio.Transport, None)  # set by connection_made
        self._reader = RequestReader(self, context)
        self._state = OPEN
        self._state_since_ns = 0
        self._read_paused = False
        self._write_paused = False
        self._stalled_since_ns = 0
        self._unsent_bytes = 0
        self._feeding = False
        self._pumping = False
        # Per request
        self._pending: deque[Exchange] = deque()  # begun, in the order of the answers
        self._waiting: deque[Exchange] = deque()  # received, not begun
        self._held: list[Buffer] = []  # answers to be written together
        self._held_bytes = 0

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        context = self._context
        excess = len(context.connections) - context.max_connections
        if excess >= MAX_REFUSED:
            self._state = CLOSING
            self._transport.abort()
            return
        context.add(self)
        if excess >= 0:
            context.count_error(Code.UNAVAILABLE, "")
            self._transport.write(REFUSED)
            self._finish(lingers=True)

    def data_received(self, data: bytes) -> None:
        """Read on; whatever is wrong with the input is answered, never raised."""
        if self._state:
            return
        reader = self._reader
        exchange = reader.recall(data)
        if exchange is not None:
            if self._waiting or self._write_paused or self._pending:
                self._enqueue(exchange)
            else:
                self._pending.append(exchange)
                exchange.begin()
            return
        self._feeding = True
        try:
            reader.feed(data)
        except PenstockError as error:
            self._refuse(error)
        self._feeding = False
        if self._held or reader.continue_due:
            self._flush()
        if reader.large is not None and self._state == OPEN:
            self._switch(BodyReader(self, reader.large))
        if self._context.draining:
            self.drain()

    def body_received(self, size_bytes: int) -> None:
        """The kernel put so many bytes into the large body's buffer."""
        large = self._reader.large
        if large is None:  # closed meanwhile
            return
        if not large.missing_bytes:
            self._switch(self)
        try:
            self._reader.grown(size_bytes)
        except PenstockError as error:
            self._refuse(error)

    def eof_received(self) -> None:
        """The client has gone: no answer is awaited, so none is worked on. The transport closes."""
        self._withdraw()
        self._enter(CLOSING)

    def connection_lost(self, exc: Exception | None) -> None:
        """Withdraw everything and keep nothing."""
        self._context.remove(self)
        self._withdraw()
        self._state = CLOSING

    def pause_writing(self) -> None:
        """The client does not read its answers: neither read nor begin further requests."""
        self._write_paused = True
        self._stalled_since_ns = self._context.clock()
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._regulate()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._write_paused = False
        self._pump()

    # The reader's and the exchanges' calls

    def received(self, exchange: Exchange) -> None:
        """Begin the request now, or when earlier ones have made room."""
        if self._state != OPEN:  # an answer has closed the connection while its input was read
            exchange.release()
            return
        if not exchange.keep_alive:
            self._state = FINAL
        self._enqueue(exchange)

    def _enqueue(self, exchange: Exchange) -> None:
        pending = self._pending
        if self._waiting or self._write_paused or len(pending) >= MAX_PENDING:
            self._waiting.append(exchange)
            self._regulate()
        else:
            pending.append(exchange)
            exchange.begin()

    def is_last(self, exchange: Exchange) -> bool:
        """Whether nothing of a later request has been received."""
        idle = self._reader.phase == IDLE and not self._waiting
        return idle and bool(self._pending) and self._pending[-1] is exchange

    def local_address(self) -> str:
        """host:port at which the client has reached us."""
        host, port = self._transport.get_extra_info("sockname")[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def peer_host(self) -> str:
        """The address of the client, or of the proxy that is between."""
        return str(self._transport.get_extra_info("peername")[0])

    def answered(self, exchange: Exchange) -> None:
        """Send the answer, and those behind it that waited for it."""
        pending = self._pending
        if (
            len(pending) == 1
            and exchange.keep_alive
            and type(answer := exchange.answer) is bytes
            and not (self._held or self._feeding or self._reader.continue_due)
        ):
            # The only one, as it is for every client that does not pipeline.
            pending.clear()
            exchange.connection = exchange.ticket = None
            self._context.inflight_bytes -= exchange.body_bytes
            transport = self._transport
            if not transport.is_closing():
                transport.write(answer)
        elif pending[0] is not exchange or not self._send_ready():
            return
        if self._waiting or self._read_paused:
            self._pump()
        if self._context.draining:
            self.drain()

    def _send_ready(self) -> bool:
        """Send the answers that are ready up to the first that is not; False if that was all."""
        pending, held = self._pending, self._held
        while pending and (answer := pending[0].answer) is not None:
            exchange = pending.popleft()
            exchange.release()
            if isinstance(answer, list):
                held.extend(answer)
                self._held_bytes += sum(map(len, answer))
            else:
                held.append(answer)
                self._held_bytes += len(answer)
            if not exchange.keep_alive:
                self._flush()
                self._finish(lingers=exchange.lingers)
                return False
        # Answers to what is read in one go leave in one system call, unless they pile up.
        if self._held_bytes >= MAX_HELD_BYTES or not self._feeding:
            self._flush()
        return True

    def _flush(self) -> None:
        if self._state >= LINGERING or self._transport.is_closing():
            return
        reader = self._reader
        if reader.continue_due and not self._pending and not self._waiting:
            reader.continue_due = False
            self._held.append(CONTINUE)
        held = self._held
        if not held:
            return
        size_bytes, self._held, self._held_bytes = self._held_bytes, [], 0
        if len(held) == 1:
            self._transport.write(held[0])
        elif size_bytes <= MAX_JOINED_BYTES:
            self._transport.write(b"".join(held))
        else:
            self._transport.writelines(held)

    def _pump(self) -> None:
        """Begin requests that waited, as far as there is room."""
        if self._pumping:
            return
        self._pumping = True
        while self._waiting and not self._write_paused and len(self._pending) < MAX_PENDING:
            exchange = self._waiting.popleft()
            self._pending.append(exchange)
            exchange.begin()
        self._pumping = False
        self._regulate()

    def _regulate(self) -> None:
        """Read from the socket exactly while there is room for what comes."""
        if self._state >= LINGERING or self._transport.is_closing():
            return
        full = self._write_paused or bool(self._waiting)
        if full and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()
        elif self._read_paused and not full:
            self._read_paused = False
            self._transport.resume_reading()

    def _switch(self, protocol: asyncio.BaseProtocol) -> None:
        """Have ``protocol`` receive what comes; transports look at it when reading starts."""
        transport = self._transport
        if transport.is_closing():  # by itself, after an error; connection_lost is on its way
            return
        transport.pause_reading()
        transport.set_protocol(protocol)
        if not self._read_paused:
            transport.resume_reading()

    # The end

    def _refuse(self, error: PenstockError) -> None:
        """Answer in turn with an error, then close: the input cannot be read any further."""
        if self._state != OPEN:  # input behind the last request is nobody's
            return
        if self._reader.large is not None:
            self._switch(self)
        self._state = FINAL
        self._reader.close()
        self._enqueue(refusal(self, self._context, error))

    def _finish(self, *, lingers: bool) -> None:
        """Close once what was written has left."""
        self._withdraw()
        transport = self._transport
        if not lingers or transport.is_closing() or not transport.can_write_eof():
            self._close()
            return
        self._enter(LINGERING)
        transport.write_eof()
        if self._read_paused:
            self._read_paused = False
            transport.resume_reading()

    def _close(self) -> None:
        self._withdraw()
        self._enter(CLOSING)
        self._transport.close()

    def _enter(self, state: int) -> None:
        self._state = state
        self._state_since_ns = self._context.clock()

    def _withdraw(self) -> None:
        for queue in (self._pending, self._waiting):
            while queue:
                queue.popleft().withdraw()
        self._held = []
        self._held_bytes = 0
        self._reader.close()

    # The server's calls

    def drain(self) -> None:
        """Close if nothing is under way; a first request may be, unseen, for a moment yet."""
        idle = self._reader.phase == IDLE and not self._pending and not self._waiting
        if self._state == OPEN and idle and not self._reader.fresh and not self._feeding:
            self._flush()
            self._close()

    def abort(self) -> None:
        """Close at once, withdrawing what is under way."""
        self._withdraw()
        self._enter(CLOSING)
        self._transport.abort()

    def sweep(self, now_ns: int) -> None:
        """Enforce the time-outs; called about once a second."""
        context = self._context
        if self._state >= LINGERING:
            limit_ns = LINGER_NS if self._state == LINGERING else context.write_timeout_ns
            if now_ns - self._state_since_ns > limit_ns:
                self.abort()
        elif self._write_paused:
            unsent_bytes = self._transport.get_write_buffer_size()
            if unsent_bytes < self._unsent_bytes:
                self._stalled_since_ns = now_ns
            elif now_ns - self._stalled_since_ns > context.write_timeout_ns:
                self.abort()
            self._unsent_bytes = unsent_bytes
        elif self._read_paused:
            self._reader.since_ns = now_ns  # it is we who do not read
        else:
            self._sweep_input(now_ns)

    def _sweep_input(self, now_ns: int) -> None:
        context, reader = self._context, self._reader
        waited_ns = now_ns - reader.since_ns
        if reader.phase == IDLE:
            if self._pending:
                reader.since_ns = now_ns
            elif waited_ns > (DRAIN_IDLE_NS if context.draining else context.idle_timeout_ns):
                self._close()
        elif reader.phase == HEAD:
            if waited_ns > context.header_timeout_ns:
                self._refuse(timed_out("headers", "--header-timeout"))
        elif waited_ns > context.body_timeout_ns:
            self._refuse(timed_out("body", "--body-timeout"))
