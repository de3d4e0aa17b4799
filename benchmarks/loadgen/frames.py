"""How a generator process is spoken to: frames of a length and a message."""

from __future__ import annotations

import struct
from typing import IO

import msgspec

from benchmarks.loadgen.spec import LoadSpec

__all__ = ["Job", "read_frame", "write_frame"]

_LENGTH = struct.Struct("<I")


class Job(msgspec.Struct, frozen=True):
    """What one of several processes does."""

    spec: LoadSpec
    process: int


def read_frame(stream: IO[bytes]) -> bytes:
    """The next message.

    Raises:
        EOFError: the other side has ended.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return body


def write_frame(stream: IO[bytes], message: bytes) -> None:
    """Send a message."""
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()
