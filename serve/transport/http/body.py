"""Large bodies: read by the kernel straight into the memory the tensors will be views of."""

from __future__ import annotations

import asyncio
from typing import Protocol

import numpy as np

__all__ = ["BodyOwner", "BodyReader", "LargeBody"]


ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""


class LargeBody:
    """A buffer of a declared size, filled from the front.

    Memory is not touched before bytes arrive for it, so that a client which only declares a
    large body costs address space and nothing else. Never reused: tensors are views of it.
    """

    __slots__ = ("filled_bytes", "size_bytes", "view")

    def __init__(self, size_bytes: int, json_bytes: int = 0) -> None:
        """``json_bytes``: where the tensors begin; they are put where runtimes read fastest."""
        self.size_bytes = size_bytes
        self.filled_bytes = 0
        memory = np.empty(size_bytes + 2 * ALIGNMENT, np.uint8)
        start = -(memory.ctypes.data + json_bytes) % ALIGNMENT
        self.view = memory.data[start : start + size_bytes]

    def append(self, data: bytes | memoryview) -> None:
        """Copy in what arrived together with the headers."""
        end = self.filled_bytes + len(data)
        self.view[self.filled_bytes : end] = data
        self.filled_bytes = end

    @property
    def missing_bytes(self) -> int:
        """How much is still to come."""
        return self.size_bytes - self.filled_bytes


class BodyOwner(Protocol):
    """The connection as the reader of its large body sees it."""

    def body_received(self, size_bytes: int) -> None:
        """So many bytes more are in the buffer."""

    def eof_received(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class BodyReader(asyncio.BufferedProtocol):
    """Stands in for a connection as its transport's protocol until the body is complete."""

    __slots__ = ("_body", "_owner")

    def __init__(self, owner: BodyOwner, body: LargeBody) -> None:
        self._owner = owner
        self._body = body

    def get_buffer(self, sizehint: int) -> memoryview:
        """The part still to be filled; bytes of a request behind it stay in the socket."""
        return self._body.view[self._body.filled_bytes :]

    def buffer_updated(self, nbytes: int) -> None:
        """Count what arrived; the owner takes over again when that was all."""
        self._body.filled_bytes += nbytes
        self._owner.body_received(nbytes)

    def eof_received(self) -> None:
        """The client went away before the end of the body."""
        self._owner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Earlier answers are not being read."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Earlier answers are being read again."""
        self._owner.resume_writing()
