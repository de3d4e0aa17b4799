"""HTTP/1.1 with keep-alive: a slot is a connection with at most one request under way."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from benchmarks.loadgen.checks import Checker
from benchmarks.loadgen.spec import LoadSpec
from benchmarks.loadgen.wire import ANSWER, IDLE, WRONG, Owner

__all__ = ["Connection", "HttpWire"]

OK = 200


class Connection(asyncio.Protocol):
    """One connection; the bytes of every request are ready beforehand."""

    def __init__(self, owner: Owner, requests: tuple[bytes, ...]) -> None:
        self._owner = owner
        self._requests = requests
        self._parser = httptools.HttpResponseParser(self)
        self._last = b""
        self.number = IDLE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, number: int) -> None:
        """Send request ``number``."""
        self.number = number
        self._transport.write(self._requests[number % len(self._requests)])

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._last = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_complete(self) -> None:
        """httptools: the answer is there in full.

        Whether there is a hint is looked up in refusals only: a callback for every header of
        every answer would cost the generator a tenth of its capacity.
        """
        number, self.number = self.number, IDLE
        status = self._status(number)
        hinted = status in (429, 503) and b"\nretry-after:" in self._last.lower()
        if self._parser.should_keep_alive():
            self._owner.answered(self, number, status, hinted)
        else:
            self._owner.answered(None, number, status, hinted)
            self._transport.close()

    def _status(self, number: int) -> int:
        status: int = self._parser.get_status_code()
        return status

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self, self.number)


class CheckedConnection(Connection):
    """Reads the answers, and counts one that is not right as ``WRONG``."""

    def __init__(
        self, owner: Owner, requests: tuple[bytes, ...], checker: Checker, *, tell_apart: bool
    ) -> None:
        """``tell_apart``: the status of a right answer says which of the expected ones it is."""
        super().__init__(owner, requests)
        self._checker = checker
        self._tell_apart = tell_apart
        self._body = b""

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the answer's body."""
        self._body += body

    def _status(self, number: int) -> int:
        status, body = super()._status(number), self._body
        self._body = b""
        if status != OK:
            return status
        which = self._checker.which(number, body)
        if which is None:
            return WRONG
        return ANSWER + which if self._tell_apart else status


class HttpWire:
    """Connections to one HTTP port."""

    def __init__(self, spec: LoadSpec, owner: Owner) -> None:
        self._target = spec.target
        self._requests = tuple(payload.http() for payload in spec.payloads)
        self._owner = owner
        self._checker = Checker(spec.expected) if spec.expected else None
        self._tell_apart = spec.tell_apart

    async def open(self) -> Connection:
        """See ``Wire.open``."""
        _, connection = await asyncio.get_running_loop().create_connection(
            self._connection, self._target.host, self._target.port
        )
        return connection

    def _connection(self) -> Connection:
        if self._checker is not None:
            return CheckedConnection(
                self._owner, self._requests, self._checker, tell_apart=self._tell_apart
            )
        return Connection(self._owner, self._requests)

    async def close(self) -> None:
        """See ``Wire.close``: each connection is closed on its own."""
