"""When to stop asking what does not answer, and when to try again."""

from __future__ import annotations

from serve.clock import NS_PER_S

__all__ = ["Breaker"]

FAILURES = 3
FIRST_PAUSE_NS = NS_PER_S
LONGEST_PAUSE_NS = 30 * NS_PER_S


class Breaker:
    """Open after ``FAILURES`` in a row: then nobody asks, until a pause is over.

    After it one is let through; if that fails too, the next pause is twice as long.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause_ns = 0
        self._closed_from_ns = 0

    @property
    def open(self) -> bool:
        """Whether the last attempts failed, so that hardly anybody asks."""
        return self._failures >= FAILURES

    def lets_through(self, now_ns: int) -> bool:
        """Whether to ask now; with an open breaker, true once a pause."""
        if not self.open:
            return True
        if now_ns < self._closed_from_ns:
            return False
        self._closed_from_ns = now_ns + self._pause_ns
        return True

    def succeeded(self) -> None:
        """It has answered."""
        self._failures = 0
        self._pause_ns = 0

    def failed(self, now_ns: int) -> None:
        """It has not."""
        self._failures += 1
        if self.open:
            self._pause_ns = min(max(FIRST_PAUSE_NS, 2 * self._pause_ns), LONGEST_PAUSE_NS)
            self._closed_from_ns = now_ns + self._pause_ns
