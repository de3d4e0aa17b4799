"""What is said before the first batch, and how errors travel: small messages in MessagePack."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from serve.errors import (
    AlreadyExists,
    BackendError,
    Cancelled,
    Code,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    PenstockError,
    TooLarge,
    Unavailable,
    Unsupported,
)
from serve.executors.remote.wire import FrameError
from serve.tensors import Signature, TensorSpec

__all__ = [
    "Challenge",
    "Description",
    "Failure",
    "Goodbye",
    "Greeting",
    "Hello",
    "decode",
    "encode",
    "tensors_of",
]

M = TypeVar("M")

MESSAGE_CHARACTERS = 4096
"""An error's message beyond it is cut."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Word = Annotated[str, msgspec.Meta(max_length=1024)]
Nonce = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Proof = Annotated[bytes, msgspec.Meta(max_length=64)]

_encoder = msgspec.msgpack.Encoder()


class Challenge(msgspec.Struct, frozen=True):
    """The engine's first word. ``secret``: the gateway has to prove that it knows the secret."""

    nonce: Nonce
    secret: bool


class Greeting(msgspec.Struct, frozen=True):
    """A gateway's answer. Empty ``model``, ``version`` or ``digest``: whatever there is."""

    gateway: Word
    model: Word
    version: Word
    digest: Word
    nonce: Nonce
    proof: Proof = b""


class _Tensor(msgspec.Struct, frozen=True, array_like=True):
    name: Word
    datatype: Word
    shape: Annotated[tuple[int, ...], msgspec.Meta(max_length=32)]
    optional: bool


Tensors = Annotated[tuple[_Tensor, ...], msgspec.Meta(max_length=1024)]


class Description(msgspec.Struct, frozen=True):
    """What a replica serves.

    ``slots``: batches that it runs at the same time; ``queue``: further ones that it takes from
    each gateway; ``profile``: nanoseconds of a batch by rows; ``digest``: of what is served.
    """

    replica: Word
    model: Word
    version: Word
    digest: Word
    backend: Word
    platform: Word
    slots: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    queue: Annotated[int, msgspec.Meta(ge=0, le=4096)]
    max_batch_rows: Positive
    batched: bool
    inputs: Tensors
    outputs: Tensors
    profile: Annotated[
        dict[Positive, Annotated[int, msgspec.Meta(ge=0)]],
        msgspec.Meta(min_length=1, max_length=4096),
    ]

    @property
    def signature(self) -> Signature:
        """The model's signature."""
        inputs, outputs = (
            tuple(TensorSpec(t.name, t.datatype, t.shape, t.optional) for t in tensors)
            for tensors in (self.inputs, self.outputs)
        )
        return Signature(inputs, outputs, self.batched)


class Hello(msgspec.Struct, frozen=True):
    """The gateway is let in. ``proof``: that a TCP engine knows the secret, too."""

    description: Description
    proof: Proof = b""


def tensors_of(specs: tuple[TensorSpec, ...]) -> tuple[_Tensor, ...]:
    """The tensors of a signature as a ``Description`` has them."""
    return tuple(_Tensor(s.name, s.datatype, s.shape, s.optional) for s in specs)


class Goodbye(msgspec.Struct, frozen=True):
    """Why a connection ends."""

    reason: Word


_ERRORS = {
    kind.__name__: kind
    for kind in (
        AlreadyExists,
        BackendError,
        Cancelled,
        DeadlineExceeded,
        InternalError,
        InvalidRequest,
        NotFound,
        NotReady,
        TooLarge,
        Unavailable,
        Unsupported,
    )
}
_BY_CODE = {
    Code.INVALID_ARGUMENT: "InvalidRequest",
    Code.NOT_FOUND: "NotFound",
    Code.ALREADY_EXISTS: "AlreadyExists",
    Code.TOO_LARGE: "TooLarge",
    Code.UNSUPPORTED: "Unsupported",
    Code.UNAVAILABLE: "Unavailable",
    Code.DEADLINE_EXCEEDED: "DeadlineExceeded",
    Code.CANCELLED: "Cancelled",
    Code.INTERNAL: "InternalError",
}
"""For errors whose own class needs more than a message: the plain one of the same code."""


class Failure(msgspec.Struct, frozen=True):
    """A ``PenstockError`` on its way."""

    kind: Word
    message: str
    reason: Word = ""
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: PenstockError) -> Failure:
        """The failure that stands for an error."""
        kind = type(error).__name__
        reason = ""
        if isinstance(error, Overloaded):
            reason = error.reason
        elif kind not in _ERRORS:
            kind = _BY_CODE[error.code]
        after = error.retry_after_s if isinstance(error, Unavailable) else None
        return cls(kind, str(error)[:MESSAGE_CHARACTERS], reason, after)

    def error(self) -> PenstockError:
        """The error itself."""
        message = self.message[:MESSAGE_CHARACTERS]
        if self.kind == Overloaded.__name__:
            after_s = self.retry_after_s or 0.0
            return Overloaded(message, reason=self.reason, retry_after_s=after_s)
        error = _ERRORS.get(self.kind, InternalError)(message)
        if isinstance(error, Unavailable):
            error.retry_after_s = self.retry_after_s
        return error


def encode(message: Any) -> bytes:
    """A message in MessagePack."""
    return _encoder.encode(message)


def decode(data: bytes | memoryview, kind: type[M]) -> M:
    """The message of this kind; its limits are those of the types above.

    Raises:
        FrameError: the bytes are something else.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FrameError(f"a malformed {kind.__name__.lower()}: {error}") from None
