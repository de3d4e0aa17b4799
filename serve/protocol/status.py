"""One table from error code to HTTP status, and one to gRPC status.

The default follows Triton except where a code of its own tells a client more: 413 for a size
limit and 504 for a deadline. ``TRITON`` gives Triton's own choice for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve.errors import Code

__all__ = ["DEFAULT", "TRITON", "StatusTable"]


@dataclass(frozen=True, slots=True)
class StatusTable:
    """``http`` gives the status number, ``grpc`` the name of a ``grpc.StatusCode``."""

    http: Mapping[Code, int]
    grpc: Mapping[Code, str]


DEFAULT = StatusTable(
    http={
        Code.INVALID_ARGUMENT: 400,
        Code.NOT_FOUND: 404,
        Code.ALREADY_EXISTS: 400,
        Code.TOO_LARGE: 413,
        Code.UNSUPPORTED: 501,
        Code.UNAVAILABLE: 503,
        Code.DEADLINE_EXCEEDED: 504,
        Code.CANCELLED: 499,
        Code.INTERNAL: 500,
    },
    grpc={
        Code.INVALID_ARGUMENT: "INVALID_ARGUMENT",
        Code.NOT_FOUND: "NOT_FOUND",
        Code.ALREADY_EXISTS: "ALREADY_EXISTS",
        Code.TOO_LARGE: "RESOURCE_EXHAUSTED",
        Code.UNSUPPORTED: "UNIMPLEMENTED",
        Code.UNAVAILABLE: "UNAVAILABLE",
        Code.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
        Code.CANCELLED: "CANCELLED",
        Code.INTERNAL: "INTERNAL",
    },
)

TRITON = StatusTable(
    http={**DEFAULT.http, Code.TOO_LARGE: 400, Code.DEADLINE_EXCEEDED: 503, Code.CANCELLED: 400},
    grpc={
        **DEFAULT.grpc,
        Code.TOO_LARGE: "INVALID_ARGUMENT",
        Code.DEADLINE_EXCEEDED: "UNAVAILABLE",
    },
)
