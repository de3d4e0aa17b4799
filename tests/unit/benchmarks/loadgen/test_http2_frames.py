"""Frames and header blocks, as another implementation reads them."""

import hpack
import pytest

from benchmarks.loadgen.http2_frames import (
    HEAD,
    Flag,
    Kind,
    decode_status,
    frame,
    header_block,
    parse_settings,
    parse_uint,
    settings,
    strip,
    window_update,
)


def test_frame_has_length_kind_flags_and_stream():
    data = frame(Kind.DATA, Flag.END_STREAM, 5, b"x" * 70_000)

    assert HEAD.unpack_from(data) == (1, 70_000 - 65_536, 0, 1, 5)
    assert len(data) == HEAD.size + 70_000


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 255, 20_000])
def test_header_block_is_read_by_any_decoder(length):
    headers = [(":method", "POST"), ("x-long", "v" * length)]

    assert hpack.Decoder().decode(header_block(headers)) == headers


def test_decode_status_finds_the_status_among_others():
    encoder = hpack.Encoder()
    block = encoder.encode([(":status", "200"), ("grpc-status", "14"), ("grpc-message", "no room")])

    assert decode_status(block) == 14
    assert decode_status(hpack.Encoder().encode([(":status", "502")])) == 2


def test_settings_and_windows_come_out_as_they_went_in():
    assert parse_settings(settings({1: 0, 4: 2**31 - 1})[HEAD.size :]) == {1: 0, 4: 2**31 - 1}
    assert parse_uint(window_update(3, 1000)[HEAD.size :]) == 1000


@pytest.mark.parametrize(
    ("payload", "flags"),
    [
        (b"body", 0),
        (b"\x03bodypad", Flag.PADDED),
        (b"12345body", Flag.PRIORITY),
        (b"\x0312345bodypad", Flag.PADDED | Flag.PRIORITY),
    ],
)
def test_strip_leaves_the_body(payload, flags):
    assert strip(payload, flags) == b"body"
