"""One timer for many deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serve.clock import NS_PER_S

__all__ = ["Alarm"]

NEVER_NS = 2**63 - 1


class Alarm:
    """Calls ``ring`` when the earliest time that it was given has come.

    ``due_ns`` is that time: whoever has an earlier one sets it, and nobody else needs to.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.due_ns = NEVER_NS
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due_ns: int, now_ns: int) -> None:
        """Ring at ``due_ns``, and not when it would have before."""
        self.cancel()
        self.due_ns = due_ns
        self._timer = self._loop.call_later(max(0, due_ns - now_ns) / NS_PER_S, self._rings)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.due_ns = NEVER_NS

    def _rings(self) -> None:
        self._timer = None
        self.due_ns = NEVER_NS
        self._ring()
