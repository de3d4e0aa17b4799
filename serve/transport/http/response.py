"""Response heads and error bodies: pure functions to bytes."""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

from serve.errors import PenstockError, Unavailable
from serve.protocol.status import StatusTable
from serve.transport.http.problems import HttpProblem

__all__ = [
    "INFERENCE_LENGTH_LINE",
    "JSON",
    "OCTETS",
    "OK_OCTETS",
    "REFUSED",
    "error_body",
    "error_head",
    "head",
    "ok_json_head",
]

JSON = b"application/json"
OCTETS = b"application/octet-stream"

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    499: b"Client Closed Request",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


@lru_cache(maxsize=4096)
def ok_json_head(length: int) -> bytes:
    """The head of nearly every answer."""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
    )


INFERENCE_LENGTH_LINE = b"Inference-Header-Content-Length: %d\r\n"

OK_OCTETS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%b"
)
"""The whole of a plain answer with binary tensors."""

_REFUSED_BODY = b'{"error":"too many open connections (--max-connections); try again"}'


def head(status: int, content_type: bytes, length: int, extra: bytes = b"") -> bytes:
    """Status line and headers; ``extra`` are whole header lines, each ended by CRLF."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n" % (
        status,
        _REASONS.get(status, b"Unknown"),
        content_type,
        extra,
        length,
    )


REFUSED = (
    head(503, JSON, len(_REFUSED_BODY), b"Retry-After: 1\r\nConnection: close\r\n") + _REFUSED_BODY
)
"""The whole answer to a connection beyond the limit."""


def error_body(error: PenstockError) -> bytes:
    """``{"error": "<message>"}``."""
    # A message may quote the client: what is not Unicode must not break the answer.
    message = str(error).encode("utf-8", "replace").decode()
    return msgspec.json.encode({"error": message})


def error_head(error: PenstockError, table: StatusTable) -> tuple[int, bytes]:
    """Status and extra header lines of an error."""
    if isinstance(error, HttpProblem):
        return error.status, error.headers
    extra = b""
    if isinstance(error, Unavailable):
        extra = b"Retry-After: %d\r\n" % max(1, math.ceil(error.retry_after_s or 1))
    return table.http[error.code], extra
