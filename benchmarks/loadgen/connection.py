"""One client connection: at most one request under way, its answer handed to an owner."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

__all__ = ["Connection", "Owner", "connect"]

IDLE = -1


class Owner(Protocol):
    """Who decides what a connection does next."""

    request: bytes

    def answered(self, connection: Connection, number: int, status: int, retry_after: bool) -> None:
        """Request ``number`` is answered and the connection is free."""

    def lost(self, connection: Connection, number: int) -> None:
        """The connection is gone, and with it request ``number`` (or ``IDLE``)."""


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; the request bytes are always the same."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._retry_after = False
        self.number = IDLE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, number: int) -> None:
        """Send request ``number``."""
        self.number = number
        self._transport.write(self._owner.request)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header of the answer."""
        if len(name) == 11 and name.lower() == b"retry-after":
            self._retry_after = True

    def on_message_complete(self) -> None:
        """httptools: the answer is there in full."""
        number, self.number = self.number, IDLE
        retry_after, self._retry_after = self._retry_after, False
        self._owner.answered(self, number, self._parser.get_status_code(), retry_after)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self, self.number)


async def connect(owner: Owner, port: int) -> Connection:
    """Open a connection to a server on this machine."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(owner), "127.0.0.1", port)
    return connection
