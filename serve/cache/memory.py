"""Answers held in this process: bounded by bytes, the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from serve.monitoring.metrics import CacheMetrics
from serve.tensors import Array

__all__ = ["MemoryCache", "Stored"]

ENTRY_BYTES = 500
"""What an answer takes beside its tensors: its key, its place in the order, and itself."""
ARRAY_BYTES = 160
ELEMENT_BYTES = 48
"""The same of a tensor, and of an element of BYTES."""


class Stored:
    """An answer: every output of the model, in the signature's order, read-only.

    ``took_ns``: how long it took to make, from the queue on. ``expires_ns``: 0 is never.
    """

    __slots__ = ("expires_ns", "outputs", "size_bytes", "took_ns")

    def __init__(
        self, outputs: list[Array], size_bytes: int, took_ns: int, expires_ns: int
    ) -> None:
        self.outputs = outputs
        self.size_bytes = size_bytes
        self.took_ns = took_ns
        self.expires_ns = expires_ns


class MemoryCache:
    """Keeps answers by key, in at most ``max_bytes``. Belongs to the event loop."""

    def __init__(self, max_bytes: int, metrics: CacheMetrics) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._held_bytes = 0
        self._stored: OrderedDict[bytes, Stored] = OrderedDict()

    def __len__(self) -> int:
        return len(self._stored)

    def get(self, key: bytes, now_ns: int) -> Stored | None:
        """The answer of that key, if there is one and it is not too old."""
        found = self._stored.get(key)
        if found is None:
            return None
        if found.expires_ns and found.expires_ns <= now_ns:
            self._remove(key)
            self._metrics.expired += 1
            return None
        self._stored.move_to_end(key)
        return found

    def put(self, key: bytes, outputs: Sequence[Array], took_ns: int, expires_ns: int) -> None:
        """Keep a copy of an answer, of which there is none yet, or an older one.

        One that is larger than all that may be kept is not.
        """
        size_bytes = ENTRY_BYTES + sum([_size(array) for array in outputs])
        if key in self._stored:
            self._remove(key)
        if size_bytes > self._max_bytes:
            self._metrics.too_large += 1
            return
        while self._held_bytes + size_bytes > self._max_bytes:
            self._remove(next(iter(self._stored)))
            self._metrics.evicted += 1
        stored = Stored([_own(array) for array in outputs], size_bytes, took_ns, expires_ns)
        self._stored[key] = stored
        self._hold(size_bytes, 1)

    def clear(self) -> None:
        """Forget everything."""
        self._hold(-self._held_bytes, -len(self._stored))
        self._stored.clear()

    def _remove(self, key: bytes) -> None:
        self._hold(-self._stored.pop(key).size_bytes, -1)

    def _hold(self, size_bytes: int, answers: int) -> None:
        # By differences: a version that was loaded again has two of these for a while.
        self._held_bytes += size_bytes
        self._metrics.held_bytes += size_bytes
        self._metrics.answers += answers


def _size(array: Array) -> int:
    if array.dtype.kind != "O":
        return ARRAY_BYTES + array.nbytes
    return ARRAY_BYTES + sum([ELEMENT_BYTES + len(element) for element in array.flat])


def _own(array: Array) -> Array:
    """A copy: the array may be a view of a whole batch, or of memory that is used again."""
    own = np.array(array, order="C")
    own.flags.writeable = False
    return own
