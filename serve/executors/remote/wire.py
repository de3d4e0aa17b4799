"""Frames: what two processes say to each other about batches, byte by byte.

Both sides first send a preamble, 16 bytes: a magic word, the version of this protocol, flags.
Then come frames, each a header of 48 bytes (little-endian) and a body of three parts:

    meta     descriptors of tensors (``tensors``), or a message in MessagePack (``messages``)
    payload  the tensors' bytes; not in the frame but in shared memory if flagged SHARED
    extra    parameters of requests, or an error, in MessagePack

Tensors begin at multiples of 16 bytes. A header is checked against the limits before anything of
its size is allocated, so that a peer can make nobody hold more than the limits say.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

__all__ = [
    "ALIGNMENT",
    "FAILED",
    "HANDSHAKE",
    "HEADER_BYTES",
    "PREAMBLE_BYTES",
    "PROTOCOL_VERSION",
    "SHARED",
    "STRANGER",
    "FrameError",
    "Header",
    "Kind",
    "Limits",
    "check_preamble",
    "control_frame",
    "pack_header",
    "padded",
    "parse_header",
    "preamble",
]

PROTOCOL_VERSION = 1
ALIGNMENT = 16

_MAGIC = b"PENSTOCK"
_PREAMBLE = struct.Struct("<8sHHI")
PREAMBLE_BYTES = _PREAMBLE.size

#        kind flags tensors meta rows extra payload id aux region
_HEADER = struct.Struct("<BBHIIIQQQQ")
HEADER_BYTES = _HEADER.size

SHARED = 1
"""Flag: the payload lies in the sender's shared memory, at ``region``."""
FAILED = 2
"""Flag of an outcome: ``extra`` is an error, and there are no tensors."""
_FLAGS = SHARED | FAILED


class FrameError(Exception):
    """The peer sent what this protocol does not allow; its connection cannot go on."""


class Kind(IntEnum):
    """What a frame is; in brackets, who sends it."""

    CHALLENGE = 1
    """[engine] the first frame: whether, and how, to prove that one knows the secret."""
    GREETING = 2
    """[gateway] who it is, the model it wants, and the proof."""
    HELLO = 3
    """[engine] what it serves."""
    BATCH = 4
    """[gateway] run this."""
    OUTCOME = 5
    """[engine] how it went; exactly one for each batch, unless it is declined."""
    DECLINED = 6
    """[engine] the batch was not run, and will not be: send it elsewhere."""
    WITHDRAW = 7
    """[gateway] nobody waits for the batch: it need not be run."""
    FREE = 8
    """[gateway] a region of the engine's shared memory is no longer read."""
    PING = 9
    """[gateway] are you there? ``aux``: nanoseconds of execution of the model's work that waits in
    the gateway, for any replica."""
    PONG = 10
    """[engine] yes; ``aux`` is how long a batch has been running that does not come back."""
    DRAIN = 11
    """[engine] send no more batches, and hang up when the last is answered."""
    GOODBYE = 12
    """[both] the connection ends, for the reason given."""


class Header(NamedTuple):
    """The fixed part of a frame.

    ``aux``: in a batch the nanoseconds that it should take, in an outcome those that it took.
    """

    kind: int
    flags: int
    tensors: int
    meta: int
    rows: int
    extra: int
    payload: int
    id: int
    aux: int
    region: int

    @property
    def body_bytes(self) -> int:
        """How many bytes follow the header."""
        body = self.meta + self.extra
        return body if self.flags & SHARED else body + self.payload


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a frame may claim. Sizes in bytes."""

    max_payload: int = 1 << 30
    max_meta: int = 1 << 20
    max_extra: int = 64 << 20
    max_tensors: int = 1024
    max_rows: int = 1 << 24


STRANGER = Limits(max_payload=0, max_meta=4096, max_extra=0, max_tensors=0, max_rows=0)
"""For a peer that has not been let in yet."""
HANDSHAKE = Limits(max_payload=0, max_extra=0, max_tensors=0, max_rows=0)
"""For an engine that has still to say what it serves."""


def padded(size: int) -> int:
    """The next multiple of the alignment."""
    return (size + ALIGNMENT - 1) & -ALIGNMENT


def preamble() -> bytes:
    """The first bytes of either side."""
    return _PREAMBLE.pack(_MAGIC, PROTOCOL_VERSION, 0, 0)


def check_preamble(data: bytes) -> None:
    """Accept the first bytes of a peer.

    Raises:
        FrameError: it speaks something else, or another version of this.
    """
    magic, version, _, _ = _PREAMBLE.unpack(data)
    if magic != _MAGIC:
        raise FrameError("the peer does not speak Penstock's protocol for batches")
    if version != PROTOCOL_VERSION:
        raise FrameError(
            f"the peer speaks version {version} of the protocol for batches, this process version"
            f" {PROTOCOL_VERSION}: run the same Penstock on both sides"
        )


def pack_header(
    kind: int,
    *,
    flags: int = 0,
    tensors: int = 0,
    meta: int = 0,
    rows: int = 0,
    extra: int = 0,
    payload: int = 0,
    id: int = 0,
    aux: int = 0,
    region: int = 0,
) -> bytes:
    """The bytes of a header."""
    return _HEADER.pack(kind, flags, tensors, meta, rows, extra, payload, id, aux, region)


def control_frame(
    kind: Kind, message: bytes = b"", *, id: int = 0, aux: int = 0, region: int = 0
) -> bytes:
    """A whole frame without tensors."""
    return pack_header(kind, meta=len(message), id=id, aux=aux, region=region) + message


def parse_header(buffer: bytearray | bytes, offset: int, limits: Limits) -> Header:
    """The header at ``offset``, whose bytes are all there.

    Raises:
        FrameError: it claims more than the limits allow, or what no frame has.
    """
    header = Header._make(_HEADER.unpack_from(buffer, offset))
    kind, flags, tensors, meta, rows, extra, payload = header[:7]
    if (
        payload > limits.max_payload
        or meta > limits.max_meta
        or extra > limits.max_extra
        or tensors > limits.max_tensors
        or rows > limits.max_rows
    ):
        raise FrameError(_excess(header, limits))
    if not 1 <= kind <= Kind.GOODBYE:
        raise FrameError(f"there is no frame of kind {kind}")
    if kind != Kind.BATCH and kind != Kind.OUTCOME:
        if flags or tensors or extra or payload:
            raise FrameError(f"a frame of kind {kind} has no tensors")
    elif flags & ~_FLAGS or (meta | payload) % ALIGNMENT:
        raise FrameError(f"a malformed header in a frame of kind {kind}")
    return header


def _excess(header: Header, limits: Limits) -> str:
    for name in ("payload", "meta", "extra", "tensors", "rows"):
        claimed, most = getattr(header, name), getattr(limits, f"max_{name}")
        if claimed > most:
            return f"a frame claims {claimed} of {name}, and at most {most} are allowed"
    raise AssertionError
