"""The parsed head of a request, and a memory of heads: equal bytes are not parsed twice.

A client sends the same request line and headers again and again; only the body differs. Once the
parser has accepted a head, a request that begins with the same bytes, and has as many bytes of
body as they declare, needs no parser. Equal bytes in the same state mean the same to the parser,
so nothing is let in that it would refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from serve.transport.http.compression import Buffer
from serve.transport.http.headers import (
    EXPECT,
    TRACEPARENT,
    TRANSFER_ENCODING,
    UPGRADE,
    X_REQUEST_ID,
)
from serve.transport.http.routes import Handler, Route

__all__ = ["END", "NOTHING_KNOWN", "NO_HEAD", "Head", "HeadMemory", "KnownHead"]

END = b"\r\n\r\n"

MAX_HEAD_BYTES = 2048
MAX_HEADS = 1024

UNREPEATED = frozenset((EXPECT, TRACEPARENT, TRANSFER_ENCODING, UPGRADE, X_REQUEST_ID))
"""Headers that are made anew for each request, or that steer how its body is read."""


class Head:
    """Request line and headers, as far as they matter; not changed once it is made.

    ``shaped``: anything but the plain form of request and answer is asked for, or may be.
    ``route`` and ``handler`` are found when the first request with this head begins.
    """

    __slots__ = ("handler", "headers", "keep_alive", "method", "route", "shaped", "target")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: Mapping[bytes, bytes],
        keep_alive: bool,
        shaped: bool,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.keep_alive = keep_alive
        self.shaped = shaped
        self.route: Route | None = None
        self.handler: Handler | None = None


NO_HEAD = Head(b"", b"", {}, keep_alive=False, shaped=True)
"""Of what is no request."""


class KnownHead(NamedTuple):
    """A head that the parser has accepted, and how many bytes of body follow it."""

    raw: bytes
    head: Head
    head_bytes: int
    body_bytes: int


NOTHING_KNOWN = KnownHead(b"\0", NO_HEAD, 0, 0)
"""No request begins so."""


class HeadMemory:
    """Heads by their bytes; shared by all connections.

    Bounded, and cleared rather than aged: a client that varies its headers gains nothing and
    costs others only what they cost before they were known.
    """

    __slots__ = ("_heads", "get")

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}
        self.get = self._heads.get

    def learn(self, message: Buffer, head: Head, body_bytes: int) -> None:
        """Remember the head of a whole message that the parser took for one request.

        ``message`` must be all that was received between two requests: then what comes before
        its body is the head, and no part of it is left in the parser.
        """
        end = len(message) - body_bytes
        if end > MAX_HEAD_BYTES or not head.keep_alive:
            return
        if not UNREPEATED.isdisjoint(head.headers):
            return
        raw = bytes(message[:end])
        if raw.find(END) + len(END) != end:
            return
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[raw] = KnownHead(raw, head, end, body_bytes)
