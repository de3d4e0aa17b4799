"""What whoever looks after a fleet is told, by signals or by Serve. Imports no ray."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

__all__ = ["Orders", "follow_signals"]

log = logging.getLogger("penstock.ray")

FORCED_EXIT = 130


class Orders:
    """To stop, or to read the repository again."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.again = threading.Event()
        self._news = threading.Event()

    def order_stop(self) -> None:
        """End."""
        self.stop.set()
        self._news.set()

    def order_again(self) -> None:
        """Read the repository again."""
        self.again.set()
        self._news.set()

    def wait(self, timeout_s: float) -> None:
        """Until there is something new, or for ``timeout_s``."""
        self._news.wait(timeout_s)
        self._news.clear()


def follow_signals(orders: Orders, before_exit: Callable[[], None]) -> None:
    """From now on signals are orders; a second one to stop ends the process at once.

    ``before_exit`` is called then.
    """

    def on_stop(*_: object) -> None:
        if orders.stop.is_set():
            log.warning("second signal: ending at once")
            before_exit()
            logging.shutdown()
            os._exit(FORCED_EXIT)
        orders.order_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_stop)
    signal.signal(signal.SIGHUP, lambda *_: orders.order_again())
