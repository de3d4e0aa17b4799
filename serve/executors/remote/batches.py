"""Batches and their outcomes as frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from serve.errors import PenstockError
from serve.executors.remote.messages import Failure, decode, encode
from serve.executors.remote.tensors import (
    Buffer,
    Packed,
    pack_tensors,
    parse_layout,
    unpack_tensors,
)
from serve.executors.remote.wire import FAILED, SHARED, FrameError, Header, Kind, pack_header
from serve.tensors import Array, Batch, Parameter

__all__ = [
    "Parts",
    "batch_parts",
    "failure_frame",
    "outcome_parts",
    "read_batch",
    "read_failure",
    "read_outputs",
]

Parameters = tuple[tuple[int, dict[str, Parameter]], ...]
_parameters = msgspec.msgpack.Decoder(Parameters)


class Parts(NamedTuple):
    """A frame before it is known whether its payload goes with it or into shared memory."""

    kind: Kind
    packed: Packed
    rows: int
    aux: int
    extra: bytes

    def framed(self, id: int) -> list[Buffer]:
        """The whole frame as buffers, the tensors among them as they are."""
        packed = self.packed
        return [self._header(id, 0, 0), packed.meta, *packed.buffers, self.extra]

    def shared(self, id: int, region: int) -> bytes:
        """The frame where the payload has been written to shared memory at ``region``."""
        return b"".join((self._header(id, SHARED, region), self.packed.meta, self.extra))

    def _header(self, id: int, flags: int, region: int) -> bytes:
        kind, packed, rows, aux, extra = self
        return pack_header(
            kind,
            flags=flags,
            tensors=packed.tensors,
            meta=len(packed.meta),
            rows=rows,
            extra=len(extra),
            payload=packed.size,
            id=id,
            aux=aux,
            region=region,
        )


def batch_parts(batch: Batch, expected_ns: int) -> Parts:
    """A batch that should take ``expected_ns``."""
    extra = encode(batch.parameters) if batch.parameters else b""
    return Parts(Kind.BATCH, pack_tensors(batch.inputs), batch.rows, expected_ns, extra)


def outcome_parts(outputs: Sequence[Array], rows: int, execute_ns: int) -> Parts:
    """The outputs of a batch that took ``execute_ns``."""
    return Parts(Kind.OUTCOME, pack_tensors(outputs), rows, execute_ns, b"")


def failure_frame(id: int, error: PenstockError, execute_ns: int) -> bytes:
    """The outcome of a batch that failed."""
    extra = encode(Failure.of(error))
    return pack_header(Kind.OUTCOME, flags=FAILED, extra=len(extra), id=id, aux=execute_ns) + extra


def read_batch(header: Header, body: bytes | memoryview, payload: Buffer, offset: int) -> Batch:
    """The batch of a frame, whose tensors lie in ``payload`` from ``offset`` on.

    Raises:
        FrameError: it is not well-formed.
    """
    inputs = tuple(_tensors(header, body, payload, offset))
    if header.rows < 1:
        raise FrameError("a batch without rows")
    parameters: Parameters = ()
    if header.extra:
        try:
            parameters = _parameters.decode(_extra(header, body))
        except (msgspec.DecodeError, RecursionError) as error:
            raise FrameError(f"malformed parameters: {error}") from None
        if sum([rows for rows, _ in parameters if rows > 0]) != header.rows:
            raise FrameError(f"the parameters are not of {header.rows} rows")
    return Batch(inputs, header.rows, parameters)


def read_outputs(
    header: Header, body: bytes | memoryview, payload: Buffer, offset: int
) -> list[Array]:
    """The outputs of an outcome that is not flagged FAILED; see ``read_batch``."""
    return _tensors(header, body, payload, offset)


def read_failure(header: Header, body: bytes | memoryview) -> PenstockError:
    """The error of an outcome that is flagged FAILED."""
    return decode(_extra(header, body), Failure).error()


def _tensors(header: Header, body: bytes | memoryview, payload: Buffer, offset: int) -> list[Array]:
    layout = parse_layout(bytes(body[: header.meta]), header.tensors)
    if layout.size != header.payload:
        raise FrameError(f"tensors of {layout.size} bytes in a payload of {header.payload}")
    return unpack_tensors(layout, payload, offset)


def _extra(header: Header, body: bytes | memoryview) -> bytes | memoryview:
    return body[header.body_bytes - header.extra :]
