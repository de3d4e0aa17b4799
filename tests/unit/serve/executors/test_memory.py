"""What a model has held goes back to the system when it is closed."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from serve.executors.memory import memory_returned
from tests.support.memory import resident_bytes

BLOCKS, BLOCK_BYTES = 2_000, 64 * 1024


def test_memory_of_another_thread_goes_back() -> None:
    held: list[np.ndarray] = []

    def hold() -> None:
        held.extend(np.ones(BLOCK_BYTES, np.uint8) for _ in range(BLOCKS))

    before = resident_bytes()
    thread = threading.Thread(target=hold)  # so that it is in an arena of its own
    thread.start()
    thread.join()
    assert resident_bytes() - before > BLOCKS * BLOCK_BYTES * 0.9
    with memory_returned():
        held.clear()
    assert resident_bytes() - before < BLOCKS * BLOCK_BYTES * 0.1


def test_errors_pass() -> None:
    with pytest.raises(ValueError, match="mine"), memory_returned():
        raise ValueError("mine")
