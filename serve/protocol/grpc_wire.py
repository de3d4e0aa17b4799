"""The two places where protobuf's own parser and writer would copy a large tensor once more.

A message is a sequence of fields, each a tag (number and wire type) and, for the wire type used
here, a length and that many bytes. Reference: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

__all__ = ["RAW_OUTPUT_TAG", "STREAM_RESPONSE_TAG", "split_raw_inputs", "varint"]

RAW_OUTPUT_TAG = b"\x32"  # ModelInferResponse.raw_output_contents = 6, length-delimited
STREAM_RESPONSE_TAG = b"\x12"  # ModelStreamInferResponse.infer_response = 2, length-delimited
_RAW_INPUT_TAG = 0x3A  # ModelInferRequest.raw_input_contents = 7, length-delimited
_OTHER_TAGS = frozenset((number << 3) | 2 for number in range(1, 7))
_MAX_LENGTH_BITS = 31


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


def split_raw_inputs(data: bytes, max_fields: int) -> tuple[bytes, list[memoryview]] | None:
    """A ModelInferRequest without its raw_input_contents, and those as views of ``data``.

    None if there are none, or at anything out of the ordinary: it is left to protobuf to accept
    or refuse. The first part is only looked at field by field, and may well be malformed.
    """
    view = memoryview(data)
    total = len(data)
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    position = 0
    for _ in range(max_fields):
        if position == total:
            return (b"".join(rest), raw) if raw else None
        start = position
        tag = data[position]
        position += 1
        length = shift = 0
        while True:
            if position == total or shift > _MAX_LENGTH_BITS:
                return None
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        end = position + length
        if end > total:
            return None
        if tag == _RAW_INPUT_TAG:
            raw.append(view[position:end])
        elif tag in _OTHER_TAGS:
            rest.append(view[start:end])
        else:
            return None
        position = end
    return None
