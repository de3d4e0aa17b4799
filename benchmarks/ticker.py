"""Something done again and again beside a measurement, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Ticker"]


class Ticker:
    """Calls ``do`` every so often while it is entered; it may be entered again.

    What ``do`` raises ends it, and is raised where it is left.
    """

    def __init__(self, every_s: float, do: Callable[[], object], *, at_once: bool = False) -> None:
        self._every_s = every_s
        self._do = do
        self._at_once = at_once
        self._stop = threading.Event()
        self._error: Exception | None = None

    def __enter__(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            if self._at_once:
                self._do()
            while not self._stop.wait(self._every_s):
                self._do()
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits for this one
            self._error = error
