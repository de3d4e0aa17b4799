"""HTTP/2 in bytes (RFC 9113, RFC 7541): as much of it as a client of gRPC needs."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import hpack

__all__ = [
    "Flag",
    "Kind",
    "Setting",
    "decode_status",
    "frame",
    "header_block",
    "parse_settings",
    "parse_uint",
    "settings",
    "strip",
    "window_update",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">BHBBI")
"""Length (its high byte, then the others), kind, flags, stream."""
MESSAGE_HEAD = struct.Struct(">?I")
"""gRPC: whether the message is compressed, and its length."""
MAX_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384
_UINT = struct.Struct(">I")
_SETTING = struct.Struct(">HI")
_NO_STATUS = 2  # UNKNOWN


class Kind:
    """Kinds of frames."""

    DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
    PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9


class Flag:
    """Flags of frames; ACK and END_STREAM are the same bit of different kinds."""

    END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20


class Setting:
    """What the two sides tell each other at the beginning."""

    HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    length = len(payload)
    return HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def parse_settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame says."""
    return dict(_SETTING.iter_unpack(payload))


def window_update(stream: int, by: int) -> bytes:
    """Room for so many more bytes, on a stream or (0) on the connection."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, _UINT.pack(by))


def parse_uint(payload: bytes) -> int:
    """The 31 bits of a WINDOW_UPDATE, or of a GOAWAY's last stream."""
    (value,) = _UINT.unpack_from(payload)
    return int(value) & MAX_WINDOW


def header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as literals that leave no trace in the tables, so that a block can be sent again."""
    parts = []
    for name, value in headers:
        parts.append(b"\x00")
        for text in (name.encode(), value.encode()):
            parts += [_length(len(text)), text]
    return b"".join(parts)


def decode_status(block: bytes) -> int:
    """The gRPC status in a block of headers; UNKNOWN where there is none.

    The block has to stand for itself, which it does once the server knows that our table is empty.
    """
    for name, value in hpack.Decoder().decode(block, raw=True):
        if name == b"grpc-status":
            return int(value)
    return _NO_STATUS


def strip(payload: bytes, flags: int) -> bytes:
    """What is in a DATA or HEADERS frame, without padding and priority."""
    begin, end = 0, len(payload)
    if flags & Flag.PADDED:
        begin, end = 1, end - payload[0]
    if flags & Flag.PRIORITY:
        begin += 5
    return payload[begin:end]


def _length(length: int) -> bytes:
    """An integer with a prefix of seven bits; the eighth says that no Huffman code is used."""
    if length < 127:
        return bytes((length,))
    rest, parts = length - 127, [127]
    while rest >= 128:
        parts.append(rest % 128 + 128)
        rest //= 128
    return bytes((*parts, rest))
