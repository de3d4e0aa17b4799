"""A large message, field by field, before protobuf's own parser sees it.

Two reasons: the parser would copy a large tensor once more, and it makes some hundred bytes out
of each two-byte field, so that a message of nothing but empty fields costs fifty times its size.

A message is a sequence of fields, each a tag (number and wire type) and, for most wire types, a
length and that many bytes. Reference: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = [
    "RAW_OUTPUT_TAG",
    "STREAM_RESPONSE_TAG",
    "WireError",
    "split_raw_inputs",
    "texts",
    "varint",
]

RAW_OUTPUT_TAG = b"\x32"  # ModelInferResponse.raw_output_contents = 6, length-delimited
STREAM_RESPONSE_TAG = b"\x12"  # ModelStreamInferResponse.infer_response = 2, length-delimited
_RAW_INPUT = 7  # ModelInferRequest.raw_input_contents
_SUBMESSAGES = frozenset((4, 5, 6))  # parameters, inputs, outputs
_SMALL_BYTES = 4096
"""A submessage within it is not looked into: it cannot have fields enough to matter."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BITS = 63


class WireError(ValueError):
    """The bytes are no message, or one of absurdly many fields; the text says which."""


def varint(value: int) -> bytes:
    """A length as protobuf writes it: seven bits a byte, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def split_raw_inputs(data: bytes, max_fields: int) -> tuple[bytes, list[memoryview]]:
    """A ModelInferRequest without its raw_input_contents, and those as views of ``data``.

    The first part has the fields of the message as they were, and may still be malformed inside.

    Raises:
        WireError: more than ``max_fields`` fields, in the message or in an input, output or
            parameter of it, or no message at all.
    """
    view = memoryview(data)
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    count = 0
    for number, kind, start, value, end in _fields(data, 0, len(data)):
        count += 1
        if count > max_fields:
            raise WireError(f"more than {max_fields} fields")
        if kind == _BYTES and number == _RAW_INPUT:
            raw.append(view[value:end])
            continue
        rest.append(view[start:end])
        if number in _SUBMESSAGES and end - value > _SMALL_BYTES:
            _check_count(data, value, end, max_fields)
    return b"".join(rest), raw


def texts(data: bytes, numbers: tuple[int, ...], max_fields: int) -> dict[int, str]:
    """Those of the string fields ``numbers`` that are among the first fields of a message.

    Never raises: what is malformed ends the search.
    """
    found: dict[int, str] = {}
    try:
        for seen, (number, kind, _, value, end) in enumerate(_fields(data, 0, len(data))):
            if seen == max_fields:
                break
            if kind == _BYTES and number in numbers:
                found[number] = data[value:end].decode()
    except ValueError:
        pass  # WireError or UnicodeDecodeError
    return found


def _check_count(data: bytes, start: int, end: int, max_fields: int) -> None:
    for count, _ in enumerate(_fields(data, start, end)):
        if count >= max_fields:
            raise WireError(f"an input, output or parameter of more than {max_fields} fields")


def _fields(data: bytes, position: int, total: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Number, wire type, start, start of the value and end of each field."""
    while position < total:
        start = position
        tag, position = _read_varint(data, position, total)
        kind = tag & 7
        value = position
        if kind == _BYTES:
            length, value = _read_varint(data, position, total)
            position = value + length
        elif kind == _VARINT:
            _, position = _read_varint(data, position, total)
        elif kind in _FIXED_BYTES:
            position += _FIXED_BYTES[kind]
        else:
            raise WireError("a field of a wire type that is not in use")
        if position > total:
            raise WireError("a field that ends beyond the message")
        yield tag >> 3, kind, start, value, position


def _read_varint(data: bytes, position: int, total: int) -> tuple[int, int]:
    """A number and the position after it."""
    number = shift = 0
    while position < total and shift <= _MAX_VARINT_BITS:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise WireError("a number without an end")
