"""Ctrl-C and SIGTERM: the first ends a run in good order, its echo does not disturb that."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

__all__ = ["interruptible", "uninterrupted"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 2.0
"""``timeout`` and impatient people send it twice; who means it sends it again later."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise KeyboardInterrupt, but not twice within two seconds.

    A CI job that is cancelled gets SIGTERM, and keeps its results as after a Ctrl-C.
    """
    last_s = -ECHO_S

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= ECHO_S:
            last_s = now_s
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, they are ignored: for what takes a moment and must not be half done."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
