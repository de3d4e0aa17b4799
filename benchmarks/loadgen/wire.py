"""The client's side of a protocol, as the generators see it: slots that take a request each."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "ANSWER",
    "GRPC",
    "IDLE",
    "LOST",
    "WRONG",
    "Owner",
    "Slot",
    "Wire",
    "is_ok",
    "is_refused",
    "status_name",
]

IDLE = -1
LOST, WRONG = 0, 1
"""The status of a request without an answer, and of one with another answer than was expected; else
the HTTP status, or a gRPC code + ``GRPC``."""
GRPC = 1000
ANSWER = 2000
"""The status of an answer that is one of several expected ones, + its number, where they are to be
told apart."""
_REFUSED = (429, 503, GRPC + 8, GRPC + 14)
_GRPC_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


class Slot(Protocol):
    """Room for one request under way."""

    def send(self, number: int) -> None:
        """Send request ``number``; payloads take turns by it."""

    def close(self) -> None:
        """Give the slot up; its owner is not told of what becomes of its request."""


class Owner(Protocol):
    """Who decides what a slot does next; called on the event loop."""

    def answered(self, slot: Slot | None, number: int, status: int, hinted: bool) -> None:
        """Request ``number`` is answered and the slot is free; None: it is about to be lost.

        ``hinted``: a refusal says when to come again.
        """

    def lost(self, slot: Slot, number: int) -> None:
        """The slot is gone, and with it request ``number`` (or ``IDLE``)."""


class Wire(Protocol):
    """Opens slots to one server."""

    async def open(self) -> Slot:
        """A new slot.

        Raises:
            OSError: the server cannot be reached.
        """

    async def close(self) -> None:
        """Let go of everything; no slot is used any more."""


def is_ok(status: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Where requests were answered well."""
    ok: npt.NDArray[np.bool_] = (
        ((status >= 200) & (status < 300)) | (status == GRPC) | (status >= ANSWER)
    )
    return ok


def is_refused(status: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Where the server said that it had no capacity."""
    return np.isin(status, _REFUSED)


def status_name(status: int) -> str:
    """As people know it."""
    if status in (LOST, WRONG):
        return "lost" if status == LOST else "wrong"
    if status < GRPC:
        return str(status)
    if status >= ANSWER:
        return f"answer {status - ANSWER}"
    code = status - GRPC
    return _GRPC_NAMES[code] if code < len(_GRPC_NAMES) else f"gRPC {code}"
