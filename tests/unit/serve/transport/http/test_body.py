"""The buffer of a large body."""

import numpy as np
import pytest

from serve.transport.http.body import LargeBody


def test_large_body_fills_from_the_front():
    body = LargeBody(5)
    body.append(b"ab")
    body.append(memoryview(b"cde"))
    assert bytes(body.view) == b"abcde"
    assert body.missing_bytes == 0


def test_large_body_is_plain_bytes_to_who_reads_it():
    view = LargeBody(5).view
    assert (view.format, view.ndim, view.itemsize, len(view)) == ("B", 1, 1, 5)


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def test_large_body_touches_no_memory_before_bytes_arrive():
    before = resident_bytes()
    bodies = [LargeBody(64 * 1024 * 1024) for _ in range(16)]
    assert resident_bytes() - before < 128 * 1024 * 1024
    assert len(bodies) == 16


@pytest.mark.parametrize("json_bytes", [0, 1, 147, 64])
def test_large_body_puts_what_follows_the_json_on_a_cache_line(json_bytes: int) -> None:
    view = LargeBody(100_000, json_bytes).view
    address = np.frombuffer(view, np.uint8).ctypes.data
    assert (len(view), (address + json_bytes) % 64) == (100_000, 0)
