"""Where replicas are, for all of this process: Serve tells, executors listen. Imports no ray."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

from serve.executors.remote.options import Endpoint

__all__ = ["Directory", "Listener", "the_directory"]

Listener = Callable[[Mapping[str, Endpoint]], None]


class Directory:
    """Endpoints of replicas by application. ``publish`` may be called in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoints: dict[str, Mapping[str, Endpoint]] = {}
        self._listeners: dict[str, tuple[asyncio.AbstractEventLoop, Listener]] = {}

    def publish(self, application: str, endpoints: Mapping[str, Endpoint]) -> None:
        """These are the application's replicas from now on, by name."""
        with self._lock:
            self._endpoints[application] = endpoints
            self._tell(application)

    def listen(self, application: str, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        """Call ``listener`` on ``loop`` with the replicas, now if they are known, and on changes.

        An application has one listener.
        """
        with self._lock:
            self._listeners[application] = (loop, listener)
            if application in self._endpoints:
                self._tell(application)

    def forget(self, application: str) -> None:
        """Nobody listens any more, and the application is about to go."""
        with self._lock:
            self._listeners.pop(application, None)
            self._endpoints.pop(application, None)

    def _tell(self, application: str) -> None:
        # Under the lock, so that what is published last is told last.
        found = self._listeners.get(application)
        if found is not None:
            loop, listener = found
            if not loop.is_closed():
                loop.call_soon_threadsafe(listener, self._endpoints[application])


_directory = Directory()


def the_directory() -> Directory:
    """The one of this process: Serve makes routers itself, and can be handed no other."""
    return _directory
