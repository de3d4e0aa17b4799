"""The only source of time in the server: monotonic, in nanoseconds, injected."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["NS_PER_MS", "NS_PER_S", "Clock", "FakeClock", "monotonic_ns", "steady_epoch"]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

Clock = Callable[[], int]
"""Returns monotonic nanoseconds; a plain callable, because it is read several times a request."""

monotonic_ns: Clock = time.monotonic_ns


def steady_epoch(clock: Clock = monotonic_ns) -> Callable[[], float]:
    """A clock of seconds since the epoch, right when it was made, that never jumps since."""
    began_s, began_ns = time.time(), clock()  # noqa: TID251 - this is where it is injected
    return lambda: began_s + (clock() - began_ns) / NS_PER_S


class FakeClock:
    """A clock that moves only when told to, for tests and offline simulation."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance_ms(self, ms: float) -> None:
        """Move forward by ``ms`` milliseconds."""
        self.now_ns += int(ms * NS_PER_MS)
