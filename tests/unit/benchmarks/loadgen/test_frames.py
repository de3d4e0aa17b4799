"""Frames carry messages of any length, and tell when the other side has ended."""

import io

import pytest

from benchmarks.loadgen.frames import read_frame, write_frame


def test_frames_come_out_as_they_went_in():
    stream = io.BytesIO()
    for message in (b"", b"x" * 100_000):
        write_frame(stream, message)
    stream.seek(0)

    assert (read_frame(stream), read_frame(stream)) == (b"", b"x" * 100_000)


@pytest.mark.parametrize("text", [b"", b"\x05\x00", b"\x05\x00\x00\x00abc"])
def test_read_frame_tells_the_end(text):
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(text))
