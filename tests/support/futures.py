"""Futures that need no waiting."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")

__all__ = ["done"]


def done(result: T) -> asyncio.Future[T]:
    """A future of the running loop that has its result."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
