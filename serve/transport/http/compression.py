"""gzip and deflate in both directions: negotiation, and size-capped decompression."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from serve.errors import InvalidRequest, TooLarge
from serve.transport.http.problems import unsupported_content_coding

__all__ = ["Buffer", "body_coding", "deflate", "inflate", "response_coding"]

Buffer = bytes | bytearray | memoryview

GZIP = b"gzip"
DEFLATE = b"deflate"

_LEVEL = 1  # a server of numbers: higher levels cost several times more and save a few percent
_WBITS = {GZIP: 16 + zlib.MAX_WBITS, DEFLATE: zlib.MAX_WBITS}
_ALIASES = {b"x-gzip": GZIP, b"gzip": GZIP, b"deflate": DEFLATE}


def body_coding(value: bytes) -> bytes:
    """The coding a Content-Encoding header names, ``b""`` for none; an HttpProblem if unknown."""
    name = value.strip().lower()
    if name in (b"", b"identity"):
        return b""
    if name not in _ALIASES:
        raise unsupported_content_coding()
    return _ALIASES[name]


def response_coding(accept: bytes) -> bytes:
    """The coding to answer in (RFC 9110, section 12.5.3), ``b""`` for none; gzip wins a tie."""
    weights: dict[bytes, float] = {}
    for entry in accept.lower().split(b","):
        name, _, parameters = entry.partition(b";")
        name = name.strip()
        weights[_ALIASES.get(name, name)] = _weight(parameters)
    rest = weights.get(b"*", 0.0)
    gzip, deflate_ = weights.get(GZIP, rest), weights.get(DEFLATE, rest)
    identity = weights.get(b"identity", 0.0)
    if max(gzip, deflate_) <= 0 or identity > max(gzip, deflate_):
        return b""
    return GZIP if gzip >= deflate_ else DEFLATE


def _weight(parameters: bytes) -> float:
    """The q-value among a coding's parameters; 1 without one, 0 where it cannot be read."""
    for parameter in parameters.split(b";"):
        name, equals, value = parameter.partition(b"=")
        if name.strip() == b"q" and equals:
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0


def deflate(parts: Sequence[Buffer], coding: bytes) -> bytes:
    """The parts, one after the other, in the coding."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS[coding])
    pieces = [compressor.compress(part) for part in parts]
    pieces.append(compressor.flush())
    return b"".join(pieces)


def inflate(body: Buffer, coding: bytes, max_bytes: int) -> bytes:
    """The decompressed body.

    Raises:
        TooLarge: it has more than ``max_bytes``; no more than that was decompressed.
        InvalidRequest: it is damaged, cut short, or followed by something else.
    """
    decompressor = zlib.decompressobj(_window_bits(body, coding))
    try:
        plain = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest(
            f"the body is not valid {coding.decode()}, which Content-Encoding says it is ({error})"
        ) from None
    if len(plain) > max_bytes:
        raise TooLarge(f"the decompressed body has more than {max_bytes} bytes (--max-body-bytes)")
    if not decompressor.eof:
        raise InvalidRequest(f"the {coding.decode()} body is cut short")
    if decompressor.unused_data:
        raise InvalidRequest(f"the {coding.decode()} body is followed by other data")
    return plain


def _window_bits(body: Buffer, coding: bytes) -> int:
    """zlib's name for the format: "deflate" is a zlib stream, but some send it without the header.

    A zlib stream begins with method 8 and a multiple of 31 (RFC 1950, section 2.2).
    """
    if coding == DEFLATE:
        head = bytes(body[:2])
        if len(head) == 2 and (head[0] & 15 != 8 or int.from_bytes(head, "big") % 31):
            return -zlib.MAX_WBITS
    return _WBITS[coding]
