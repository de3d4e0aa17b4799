"""What is being done and how long it may still take, on a terminal; plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from serve.clock import monotonic_ns

__all__ = ["Progress"]


class Progress:
    """Counts steps; the time left is what finished steps took on average, times those left."""

    def __init__(self, stream: TextIO, clock: Callable[[], int] = monotonic_ns) -> None:
        self._stream = stream
        self._clock = clock
        self._start = clock()
        self._worked_s: list[float] = []
        self._done = 0
        self.total = 0

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return (self._clock() - self._start) / 1e9

    def say(self, text: str) -> None:
        """A line of its own."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Around one step: named before it, timed after it."""
        self._done += 1
        head = f"[{self._done}/{max(self.total, self._done)}] {text}"
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{head} ... {self._left()}")
            self._stream.flush()
        start = self._clock()
        yield
        took_s = (self._clock() - start) / 1e9
        if took_s > 0.05:  # what the cache had says nothing about the rest
            self._worked_s.append(took_s)
        line = f"{head}: {took_s:.1f} s" if took_s > 0.05 else f"{head}: kept from before"
        if self._stream.isatty():
            line = f"\r\x1b[K{line}"
        self.say(line)

    def _left(self) -> str:
        if not self._worked_s:
            return ""
        left_s = (self.total - self._done + 1) * sum(self._worked_s) / len(self._worked_s)
        return f"about {left_s:.0f} s left" if left_s < 90 else f"about {left_s / 60:.0f} min left"
