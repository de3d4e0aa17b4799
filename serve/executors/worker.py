"""Daemon threads that run callables, and report to the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Workers"]


class Workers:
    """A fixed number of threads over one queue.

    The standard pool is not used because the interpreter joins its threads at exit: a model that
    hangs would then keep the process from ending.
    """

    def __init__(self, count: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` in a thread; it must handle its own errors."""
        self._jobs.put(job)

    def close(self) -> None:
        """End each thread once it is idle; does not wait."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # or the last batch would live until the next one
