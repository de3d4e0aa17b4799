"""Giving memory back to the system as it is freed.

glibc keeps what is freed at the end of each thread's arena, up to twice the largest block that it
has seen: after some loads of a model of 10 MB that is more than the model. So while a model is
closed, glibc is told to keep next to nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["memory_returned"]

# mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LITTLE_BYTES = 128 * 1024
# Where glibc's own adjustment of the two ends.
_MOST_KEPT_BYTES, _LARGEST_BLOCK_BYTES = 64 * 1024 * 1024, 32 * 1024 * 1024


@contextmanager
def memory_returned() -> Iterator[None]:
    """What is freed inside goes back to the system. At the end it blocks for milliseconds.

    Other threads may run; what they free meanwhile goes back too. With another C library than
    glibc this does nothing.
    """
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(_TRIM_THRESHOLD, _LITTLE_BYTES)
    try:
        yield
    finally:
        libc.malloc_trim(0)
        libc.mallopt(_TRIM_THRESHOLD, _MOST_KEPT_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
