"""The request headers that matter here, and how their values are read.

Others are kept with the request, for rules that tell callers apart by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    "ACCEPT_ENCODING",
    "CONNECTION",
    "CONTENT_ENCODING",
    "CONTENT_LENGTH",
    "EXPECT",
    "INFERENCE_LENGTH",
    "KNOWN",
    "TRACEPARENT",
    "TRANSFER_ENCODING",
    "UPGRADE",
    "X_REQUEST_ID",
    "request_id",
    "traceparent",
]

ACCEPT_ENCODING = b"accept-encoding"
CONNECTION = b"connection"
CONTENT_ENCODING = b"content-encoding"
CONTENT_LENGTH = b"content-length"
EXPECT = b"expect"
INFERENCE_LENGTH = b"inference-header-content-length"
TRACEPARENT = b"traceparent"
TRANSFER_ENCODING = b"transfer-encoding"
UPGRADE = b"upgrade"
X_REQUEST_ID = b"x-request-id"

KNOWN: dict[bytes, bool] = {
    CONTENT_LENGTH: False,
    INFERENCE_LENGTH: False,
    TRACEPARENT: False,
    ACCEPT_ENCODING: True,
    CONNECTION: True,
    CONTENT_ENCODING: True,
    EXPECT: True,
    TRANSFER_ENCODING: True,
    UPGRADE: True,
    X_REQUEST_ID: True,
}
"""Lower-case name to whether the header changes how the request is read or answered.

A request without any such header takes the short way through parsing and rendering.
"""

MAX_REQUEST_ID_BYTES = 128

_PRINTABLE = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_TRACEPARENT = re.compile(
    rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,64})?"
)


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """The client's X-Request-Id where it is fit to be echoed and logged, else ``b""``."""
    value = headers.get(X_REQUEST_ID, b"")
    if len(value) > MAX_REQUEST_ID_BYTES or not _PRINTABLE.fullmatch(value):
        return b""
    return value


def traceparent(headers: Mapping[bytes, bytes]) -> str:
    """The W3C trace context (Trace Context, section 3.2) where it is well formed, else ``""``."""
    value = headers.get(TRACEPARENT, b"")
    return value.decode("ascii") if _TRACEPARENT.fullmatch(value) else ""
