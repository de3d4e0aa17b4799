"""The messages other than inference: parsed on the way in, made from JSON form on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from serve.errors import InvalidRequest

__all__ = ["parse", "serialise"]


def parse(kind: Any, data: bytes) -> Any:
    """The message of generated class ``kind`` in ``data``.

    Raises:
        InvalidRequest: ``data`` is no such message.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        full_name = kind.DESCRIPTOR.full_name
        raise InvalidRequest(f"the message is not a valid {full_name}") from None


def serialise(kind: Any, reply: Mapping[str, Any]) -> bytes:
    """A message of generated class ``kind`` from its JSON form, less fields that only HTTP has."""
    message = ParseDict(dict(reply), kind(), ignore_unknown_fields=True)
    return bytes(message.SerializeToString())
