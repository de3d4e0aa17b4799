from __future__ import annotations

import fcntl
import gc
import os
import threading

import numpy as np
import pytest

from serve.executors.remote.arena import PAGE_BYTES, Arena, Window, new_arena
from serve.executors.remote.wire import FrameError


def test_what_one_side_writes_the_other_reads() -> None:
    arena = Arena(10 * PAGE_BYTES)
    window = Window(os.dup(arena.fd))
    first = arena.write([np.arange(8, dtype=np.float32), b"tail"], 36)
    second = arena.write([memoryview(b"second")], 6)
    assert (first, second) == (0, PAGE_BYTES)
    region = window.region(0, 36)
    assert region[:32].view(np.float32).tolist() == list(range(8))
    assert region[32:].tobytes() == b"tail"
    assert window.region(PAGE_BYTES, 6).tobytes() == b"second"


def test_lowest_free_place_is_used_again() -> None:
    arena = Arena(4 * PAGE_BYTES)
    offsets = [arena.write([b"x"], PAGE_BYTES) for _ in range(4)]
    assert offsets == [0, PAGE_BYTES, 2 * PAGE_BYTES, 3 * PAGE_BYTES]
    assert arena.write([b"x"], 1) is None
    arena.free(PAGE_BYTES)
    arena.free(2 * PAGE_BYTES)
    assert arena.write([b"x"], 3 * PAGE_BYTES) is None
    assert arena.write([b"x"], 2 * PAGE_BYTES) == PAGE_BYTES
    assert arena.in_use == 3


def test_a_region_that_was_not_given_out_cannot_be_freed() -> None:
    arena = Arena(PAGE_BYTES)
    with pytest.raises(FrameError, match="no region"):
        arena.free(0)


def test_memory_goes_back_when_nothing_is_in_use() -> None:
    arena = Arena(64 * PAGE_BYTES)
    assert not arena.trim()
    arena.write([bytes(32 * PAGE_BYTES)], 32 * PAGE_BYTES)
    assert os.fstat(arena.fd).st_blocks > 0
    assert not arena.trim()
    arena.free(0)
    assert arena.trim()
    assert os.fstat(arena.fd).st_blocks == 0


def test_window_cannot_be_cut_short_or_written() -> None:
    arena = Arena(PAGE_BYTES)
    window = Window(os.dup(arena.fd))
    with pytest.raises(PermissionError):
        os.ftruncate(arena.fd, 0)
    with pytest.raises(ValueError, match="read-only"):
        window.region(0, 4)[0] = 1


@pytest.mark.parametrize(("offset", "size"), [(0, 4097), (4096, 1), (2**63, 1), (1, 2**63)])
def test_region_outside_is_refused(offset: int, size: int) -> None:
    window = Window(os.dup(Arena(PAGE_BYTES).fd))
    with pytest.raises(FrameError, match="not inside 4096"):
        window.region(offset, size)


def test_memory_that_is_not_sealed_is_refused_and_closed() -> None:
    fd = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PAGE_BYTES)
    with pytest.raises(FrameError, match="not sealed"):
        Window(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_a_file_is_refused() -> None:
    with pytest.raises(FrameError, match="cannot be mapped"):
        Window(os.open(__file__, os.O_RDONLY))


def test_an_empty_memory_is_refused() -> None:
    fd = os.memfd_create("empty", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    with pytest.raises(FrameError, match="0 bytes"):
        Window(fd)


def test_released_is_told_when_the_last_view_is_gone_in_any_thread() -> None:
    arena = Arena(4 * PAGE_BYTES)
    window = Window(os.dup(arena.fd))
    told = threading.Event()
    region = window.region(0, 64, told.set)
    rows = np.ndarray((4, 4), np.float32, region)
    kept = [rows[2:].data]
    del region, rows
    gc.collect()
    assert not told.is_set()
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    assert told.is_set()


def test_no_arena_is_made_when_none_is_wanted_or_possible() -> None:
    assert new_arena(0) is None
    assert new_arena(1 << 62) is None
