"""How far a server is on its way to the end."""

from __future__ import annotations

import asyncio

__all__ = ["Lifecycle"]


class Lifecycle:
    """Serving, then draining (not ready, still answering), then stopping (nothing new)."""

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self.stopping = asyncio.Event()

    def begin_drain(self) -> None:
        """Not ready from now on; calls are answered as before."""
        self.draining.set()

    def begin_stop(self) -> None:
        """Also end what would never end by itself: watches and idle streams."""
        self.draining.set()
        self.stopping.set()
