"""When to ask the runtime's memory arena to give back what a burst of large batches left in it."""

from __future__ import annotations

__all__ = ["ArenaTrim"]


class ArenaTrim:
    """Decides, batch by batch, whether this run should end with a shrinking of the arena.

    An arena keeps the memory of the largest batch for ever; without one, or shrinking after each
    run, mid-size convolutions are 35 % slower, because their pages are faulted in anew. So one
    run shrinks, when the largest of the last ``window`` batches was under half the largest since
    the arena was last shrunk. Two threads at once can at worst shrink twice.
    """

    __slots__ = ("_count", "_peak", "_recent", "_window")

    def __init__(self, window: int = 64) -> None:
        self._window = window
        self._count = 0
        self._recent = 0
        self._peak = 0

    def due(self, size: int) -> bool:
        """Note a batch of ``size`` (in any one unit); True if its run should shrink the arena."""
        if size > self._recent:
            self._recent = size
        self._count += 1
        if self._count < self._window:
            return False
        recent, self._recent, self._count = self._recent, 0, 0
        if recent * 2 < self._peak:
            self._peak = recent
            return True
        self._peak = max(self._peak, recent)
        return False
