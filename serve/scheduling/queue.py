"""The queue of one live model: lanes of entries that may share a batch, counted in rows.

The batcher is the only one who mutates it. Order is by priority, then first come first served;
entries of different inner shapes wait in different lanes, so that they never mix in a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence

from serve.scheduling.entry import Entry

__all__ = ["EntryQueue", "Lane"]

COMPACT_AFTER = 64
"""Dead entries that a lane may hold beyond its live ones before it is swept."""


class Lane:
    """Entries of one priority and one group, oldest first; the dead are skipped lazily."""

    __slots__ = ("dead", "entries", "key", "rows")

    def __init__(self, key: tuple[int, Hashable]) -> None:
        self.key = key
        self.entries: deque[Entry] = deque()
        self.rows = 0
        self.dead = 0

    def head(self) -> Entry:
        """The oldest entry that still waits; the lane must have rows."""
        while self.entries[0].done:
            self.entries.popleft()
            self.dead -= 1
        return self.entries[0]


class EntryQueue:
    """All lanes of one model."""

    def __init__(self) -> None:
        self.rows = 0
        self._sequence = 0
        self._lanes: dict[tuple[int, Hashable], Lane] = {}

    def push(self, entries: Sequence[Entry]) -> None:
        """Append entries of one priority and one group, of which there is one at least."""
        first = entries[0]
        key = (first.priority, first.group)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        sequence = self._sequence
        rows = 0
        for entry in entries:
            sequence += 1
            entry.sequence = sequence
            rows += entry.rows
        self._sequence = sequence
        lane.entries.extend(entries)
        lane.rows += rows
        self.rows += rows

    def next_lane(self) -> Lane:
        """The lane whose turn it is; there must be rows."""
        lanes = self._lanes
        if len(lanes) == 1:
            for lane in lanes.values():
                return lane
        return min(lanes.values(), key=lambda lane: (lane.key[0], lane.head().sequence))

    def take(self, lane: Lane, max_rows: int) -> list[Entry]:
        """Remove entries from the front of a lane, at most ``max_rows`` rows of them.

        The first always goes, since admission let none in that is larger than a batch; what
        does not fit stays at the front, and nothing overtakes it.
        """
        lane.head()
        entries = lane.entries
        taken: list[Entry] = []
        rows = 0
        while entries:
            entry = entries[0]
            if entry.done:
                lane.dead -= 1
            elif taken and rows + entry.rows > max_rows:
                break
            else:
                rows += entry.rows
                entry.sequence = 0
                taken.append(entry)
            entries.popleft()
        self._shrink(lane, rows)
        return taken

    def rows_ahead(self, priority: int) -> int:
        """Rows that leave before a new entry of this priority."""
        if len(self._lanes) == 1:
            return self.rows if priority >= next(iter(self._lanes))[0] else 0
        return sum(lane.rows for key, lane in self._lanes.items() if key[0] <= priority)

    def __iter__(self) -> Iterator[Entry]:
        """All entries that wait, in no order that means anything."""
        for lane in self._lanes.values():
            yield from (entry for entry in lane.entries if not entry.done)

    def remove(self, entry: Entry) -> None:
        """Forget the rows and tensors of an entry that was cancelled or answered otherwise.

        Its place in the lane is cleared later.
        """
        entry.sequence = 0
        entry.inputs = ()
        lane = self._lanes[(entry.priority, entry.group)]
        lane.dead += 1
        self._shrink(lane, entry.rows)
        if lane.dead > COMPACT_AFTER + len(lane.entries) // 2:
            lane.entries = deque(entry for entry in lane.entries if not entry.done)
            lane.dead = 0

    def _shrink(self, lane: Lane, rows: int) -> None:
        lane.rows -= rows
        self.rows -= rows
        if not lane.rows:
            del self._lanes[lane.key]
