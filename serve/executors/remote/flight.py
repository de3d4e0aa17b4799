"""A batch on its way: sent or waiting to be, how often, and who is to be told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from serve.executors.remote.batches import Parts
from serve.scheduling.execution import Outcome
from serve.tensors import Batch

__all__ = ["Flight"]


class Flight(msgspec.Struct, eq=False, gc=False):
    """``sent``: how often it was sent and its replica then lost. ``withdrawn``: nobody waits."""

    batch: Batch
    parts: Parts
    done: Callable[[Outcome], None]
    sent: int = 0
    sent_ns: int = 0
    withdrawn: bool = False
