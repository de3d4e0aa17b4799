from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.executors.remote.wire import (
    HEADER_BYTES,
    PREAMBLE_BYTES,
    SHARED,
    STRANGER,
    FrameError,
    Kind,
    Limits,
    check_preamble,
    control_frame,
    pack_header,
    parse_header,
    preamble,
)


def test_header_comes_back() -> None:
    data = pack_header(
        Kind.BATCH, flags=SHARED, tensors=2, meta=48, rows=7, extra=3, payload=64, id=9, aux=5,
        region=4096,
    )  # fmt: skip
    header = parse_header(data, 0, Limits())
    assert header == (Kind.BATCH, SHARED, 2, 48, 7, 3, 64, 9, 5, 4096)
    assert header.body_bytes == 51


def test_body_has_the_payload_unless_it_is_shared() -> None:
    data = pack_header(Kind.BATCH, tensors=1, meta=32, rows=1, payload=64)
    assert parse_header(data, 0, Limits()).body_bytes == 96


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"payload": 1 << 40}, "1099511627776 of payload"),
        ({"meta": 1 << 30}, "of meta"),
        ({"extra": 1 << 30}, "of extra"),
        ({"tensors": 2000}, "2000 of tensors, and at most 1024"),
        ({"rows": 1 << 30}, "of rows"),
        ({"flags": 128}, "malformed"),
        ({"payload": 15}, "malformed"),
        ({"kind": 0}, "no frame of kind 0"),
        ({"kind": 99}, "no frame of kind 99"),
        ({"kind": Kind.PING, "tensors": 1}, "has no tensors"),
    ],
)
def test_header_is_refused_when_it_claims_what_cannot_be(
    fields: dict[str, int], complaint: str
) -> None:
    data = pack_header(**{"kind": Kind.BATCH, **fields})  # type: ignore[arg-type]
    with pytest.raises(FrameError, match=complaint):
        parse_header(data, 0, Limits())


def test_stranger_may_send_no_tensors() -> None:
    with pytest.raises(FrameError, match="payload"):
        parse_header(pack_header(Kind.BATCH, payload=16), 0, STRANGER)


@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES))
def test_any_bytes_are_a_header_within_the_limits_or_refused(data: bytes) -> None:
    limits = Limits()
    try:
        header = parse_header(data, 0, limits)
    except FrameError:
        return
    assert header.body_bytes <= limits.max_payload + limits.max_meta + limits.max_extra


def test_control_frame_is_header_and_message() -> None:
    frame = control_frame(Kind.GOODBYE, b"why", id=3)
    header = parse_header(frame, 0, STRANGER)
    assert (header.kind, header.meta, header.id) == (Kind.GOODBYE, 3, 3)
    assert frame[HEADER_BYTES:] == b"why"


def test_preamble_is_accepted() -> None:
    assert len(preamble()) == PREAMBLE_BYTES
    check_preamble(preamble())


def test_preamble_of_another_version_says_what_to_do() -> None:
    other = preamble()[:8] + b"\x63\x00" + preamble()[10:]
    with pytest.raises(FrameError, match=r"version 99 .* version 1: run the same Penstock"):
        check_preamble(other)


def test_preamble_of_something_else_is_refused() -> None:
    with pytest.raises(FrameError, match="does not speak"):
        check_preamble(b"GET / HTTP/1.1\r\n")
