"""Every error that a user of the server can be given, as one tree.

PenstockError
├── InvalidRequest          the request is wrong; names the field and the remedy
├── NotFound                no such model, version or route
├── AlreadyExists           the thing to create is there already
├── TooLarge                a limit on size was exceeded; names the limit's flag
├── Unsupported             valid protocol that this server or model does not offer
├── Unavailable             cannot be answered now
│   ├── Overloaded          refused at admission; carries a retry hint
│   ├── NotReady            model or server is loading, failed or stopping
├── DeadlineExceeded        the answer would come, or came, too late
├── Cancelled               the client went away or cancelled
├── InternalError           the fault is ours
│   └── BackendError        the model's own code or runtime failed
└── RepositoryError         a model folder is wrong: file, field, problem, remedy

Nothing here knows HTTP or gRPC: ``serve.protocol.status`` has one table for each.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AlreadyExists",
    "BackendError",
    "Cancelled",
    "Code",
    "DeadlineExceeded",
    "InternalError",
    "InvalidRequest",
    "NotFound",
    "NotReady",
    "Overloaded",
    "PenstockError",
    "RepositoryError",
    "TooLarge",
    "Unavailable",
    "Unsupported",
]


class Code(StrEnum):
    """What kind of error it is; the value is the metric label."""

    INVALID_ARGUMENT = "invalid_argument"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class PenstockError(Exception):
    """Base of all errors that reach a user; ``str(error)`` is the message sent."""

    code = Code.INTERNAL


class InvalidRequest(PenstockError):
    """The request breaks the protocol or the model's signature."""

    code = Code.INVALID_ARGUMENT


class NotFound(PenstockError):
    """The model, version or route does not exist."""

    code = Code.NOT_FOUND


class AlreadyExists(PenstockError):
    """What the request would create exists already."""

    code = Code.ALREADY_EXISTS


class TooLarge(PenstockError):
    """A size limit was exceeded; the message names the flag that raises it."""

    code = Code.TOO_LARGE


class Unsupported(PenstockError):
    """A part of the protocol that this server or this model does not offer."""

    code = Code.UNSUPPORTED


class Unavailable(PenstockError):
    """The request cannot be answered now, and may be later."""

    code = Code.UNAVAILABLE
    retry_after_s: float | None = None


class Overloaded(Unavailable):
    """Refused at admission: queueing it would make it, or others, late.

    ``reason`` is a short bounded label for metrics; ``retry_after_s`` a hint in seconds.
    """

    def __init__(self, message: str, *, reason: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class NotReady(Unavailable):
    """The model or the server is loading, has failed, or is stopping."""


class DeadlineExceeded(PenstockError):
    """The request's deadline passed before its answer was ready."""

    code = Code.DEADLINE_EXCEEDED


class Cancelled(PenstockError):
    """The client cancelled or hung up; nobody is left to be answered."""

    code = Code.CANCELLED


class InternalError(PenstockError):
    """A fault of the server itself."""


class BackendError(InternalError):
    """The model's runtime or its own code raised, or returned what it must not."""


class RepositoryError(PenstockError):
    """A model folder cannot be served as it is.

    Attributes say where (``path``, ``field``), what (``problem``) and what to do (``remedy``).
    """

    code = Code.INVALID_ARGUMENT

    def __init__(self, *, path: str, problem: str, remedy: str, field: str = "") -> None:
        self.path = path
        self.field = field
        self.problem = problem
        self.remedy = remedy
        where = f"{path}: {field}" if field else path
        super().__init__(f"{where}: {problem} ({remedy})")
