"""Errors that only HTTP knows, whose status therefore does not come from the status table."""

from __future__ import annotations

import logging

from serve.errors import Code, InternalError, PenstockError

__all__ = [
    "HttpProblem",
    "bad_request",
    "expectation_failed",
    "headers_too_large",
    "method_not_allowed",
    "raised_in_callback",
    "timed_out",
    "unsupported_content_coding",
    "unsupported_transfer_coding",
]

logger = logging.getLogger("penstock.http")


class HttpProblem(PenstockError):
    """An error with a fixed status; ``headers`` are whole header lines, each ended by CRLF."""

    def __init__(self, status: int, code: Code, message: str, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


def bad_request(reason: str) -> HttpProblem:
    """What was received is not HTTP, or is HTTP that two readers could understand differently."""
    return HttpProblem(400, Code.INVALID_ARGUMENT, f"malformed HTTP request: {reason}")


def headers_too_large(limit_bytes: int) -> HttpProblem:
    """Request line and headers, or the framing of a chunked body, exceed the limit."""
    message = f"headers may have at most {limit_bytes} bytes (--max-header-bytes)"
    return HttpProblem(431, Code.TOO_LARGE, message)


def timed_out(what: str, flag: str) -> HttpProblem:
    """The client took too long to send ``what``."""
    message = f"the {what} did not arrive in time ({flag})"
    return HttpProblem(408, Code.DEADLINE_EXCEEDED, message)


def expectation_failed() -> HttpProblem:
    """An Expect header with anything but 100-continue."""
    return HttpProblem(417, Code.UNSUPPORTED, "Expect: only 100-continue is understood")


def method_not_allowed(allow: bytes) -> HttpProblem:
    """A known path with the wrong verb; ``allow`` lists the right ones."""
    message = f"Method Not Allowed: use {allow.decode()}"
    return HttpProblem(405, Code.UNSUPPORTED, message, b"Allow: %b\r\n" % allow)


def unsupported_content_coding() -> HttpProblem:
    """A body in a coding other than gzip or deflate."""
    message = "Content-Encoding: use gzip, deflate or none"
    return HttpProblem(501, Code.UNSUPPORTED, message, b"Accept-Encoding: gzip, deflate\r\n")


def unsupported_transfer_coding() -> HttpProblem:
    """A transfer coding other than chunked (RFC 9112, section 6.1: 501)."""
    return HttpProblem(501, Code.UNSUPPORTED, "Transfer-Encoding: only chunked is understood")


def raised_in_callback(error: Exception) -> PenstockError:
    """What one of the parser's callbacks raised; the parser wraps it in ``error``."""
    cause = error.__context__
    if isinstance(cause, PenstockError):
        return cause
    logger.error("unexpected error in a parser callback", exc_info=cause)
    return InternalError("internal error")
