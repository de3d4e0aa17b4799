from __future__ import annotations

import numpy as np
import pytest

from serve.errors import (
    BackendError,
    InternalError,
    Overloaded,
    PenstockError,
    RepositoryError,
    Unavailable,
)
from serve.executors.remote.batches import (
    batch_parts,
    failure_frame,
    outcome_parts,
    read_batch,
    read_failure,
    read_outputs,
)
from serve.executors.remote.wire import (
    FAILED,
    HEADER_BYTES,
    SHARED,
    FrameError,
    Header,
    Kind,
    Limits,
    pack_header,
    parse_header,
)
from serve.tensors import Batch

PARAMETERS = ((1, {}), (2, {"k": 2**64 - 1, "t": True, "f": 0.5, "s": "é"}))
BATCH = Batch(
    (np.arange(6, dtype=np.float32).reshape(3, 2), np.array([b"a", b"", b"c"], object)), 3
)


def split(frame: bytes) -> tuple[Header, bytes]:
    header = parse_header(frame, 0, Limits())
    assert header.body_bytes == len(frame) - HEADER_BYTES
    return header, frame[HEADER_BYTES:]


def joined(buffers: list[object]) -> bytes:
    return b"".join(bytes(memoryview(buffer)) for buffer in buffers)  # type: ignore[arg-type]


@pytest.mark.parametrize("parameters", [(), PARAMETERS])
def test_batch_comes_back_from_a_frame(parameters: object) -> None:
    batch = Batch(BATCH.inputs, 3, parameters)  # type: ignore[arg-type]
    header, body = split(joined(batch_parts(batch, 777).framed(5)))  # type: ignore[arg-type]
    got = read_batch(header, body, body, header.meta)
    assert (header.kind, header.id, header.aux) == (Kind.BATCH, 5, 777)
    assert [array.tolist() for array in got.inputs] == [array.tolist() for array in batch.inputs]
    assert (got.rows, got.parameters) == (3, parameters)


def test_batch_comes_back_from_shared_memory() -> None:
    parts = batch_parts(Batch(BATCH.inputs, 3, PARAMETERS), 1)
    header, body = split(parts.shared(5, 4096))
    assert header.flags & SHARED
    assert header.region == 4096
    memory = bytes(100) + joined(parts.packed.buffers)  # type: ignore[arg-type]
    got = read_batch(header, body, memory, 100)
    assert [array.tolist() for array in got.inputs] == [array.tolist() for array in BATCH.inputs]
    assert got.parameters == PARAMETERS


def test_outputs_come_back() -> None:
    outputs = [np.ones((3, 1), np.float16), np.zeros((3, 0), np.int64)]
    header, body = split(joined(outcome_parts(outputs, 3, 12).framed(1)))  # type: ignore[arg-type]
    got = read_outputs(header, body, body, header.meta)
    assert (header.kind, header.aux) == (Kind.OUTCOME, 12)
    assert [array.tolist() for array in got] == [array.tolist() for array in outputs]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (BackendError("it broke"), BackendError, "it broke"),
        (Overloaded("later", reason="slo", retry_after_s=1.5), Overloaded, "later"),
        (RepositoryError(path="p", problem="q", remedy="r"), PenstockError, "p: q \\(r\\)"),
        (InternalError("x" * 10_000), InternalError, "^x{4096}$"),
    ],
)
def test_errors_come_back(error: PenstockError, kind: type[PenstockError], text: str) -> None:
    header, body = split(failure_frame(7, error, 99))
    assert header.flags & FAILED
    got = read_failure(header, body)
    assert got.code == error.code
    with pytest.raises(kind, match=text):
        raise got


def test_retry_hint_comes_back() -> None:
    hinted = Unavailable("busy")
    hinted.retry_after_s = 2.0
    got = read_failure(*split(failure_frame(7, hinted, 0)))
    assert isinstance(got, Unavailable)
    assert got.retry_after_s == 2.0


def test_batch_is_refused_when_the_payload_is_not_that_of_its_tensors() -> None:
    header, body = split(joined(batch_parts(BATCH, 0).framed(5)))  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="in a payload of"):
        read_batch(header._replace(payload=header.payload + 16), body, body, header.meta)


def test_batch_is_refused_when_parameters_are_not_of_its_rows() -> None:
    batch = Batch(BATCH.inputs, 3, ((1, {}),))
    header, body = split(joined(batch_parts(batch, 0).framed(5)))  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="not of 3 rows"):
        read_batch(header, body, body, header.meta)


def test_batch_is_refused_when_parameters_are_garbage() -> None:
    header, body = split(joined(batch_parts(Batch(BATCH.inputs, 3, PARAMETERS), 0).framed(5)))  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="malformed parameters"):
        read_batch(header, body[: -header.extra] + b"\xc1" * header.extra, body, header.meta)


def test_failure_is_refused_when_it_is_garbage() -> None:
    frame = pack_header(Kind.OUTCOME, flags=FAILED, extra=2) + b"\xc1\xc1"
    with pytest.raises(FrameError, match="malformed failure"):
        read_failure(*split(frame))
