from __future__ import annotations

from serve.scheduling.entry import Entry
from serve.scheduling.queue import EntryQueue
from tests.support.entries import make_entry


def filled(*entries: Entry) -> EntryQueue:
    queue = EntryQueue()
    for entry in entries:
        entry.withdraw = queue.remove
        queue.push([entry])
    return queue


async def test_take_is_first_come_first_served_up_to_the_limit() -> None:
    entries = [make_entry(rows=2) for _ in range(4)]
    queue = filled(*entries)
    assert queue.take(queue.next_lane(), 5) == entries[:2]
    assert queue.rows == 4


async def test_take_leaves_what_does_not_fit_at_the_front() -> None:
    small, large, late = make_entry(rows=1), make_entry(rows=4), make_entry(rows=1)
    queue = filled(small, large, late)
    assert queue.take(queue.next_lane(), 4) == [small]
    assert queue.take(queue.next_lane(), 4) == [large]


async def test_next_lane_is_the_highest_priority_then_the_oldest() -> None:
    late, first, urgent = make_entry(group="b"), make_entry(group="a"), make_entry()
    first.priority = late.priority = 2
    urgent.priority = 1
    queue = filled(first, late, urgent)
    order = []
    while queue.rows:
        order += queue.take(queue.next_lane(), 8)
    assert order == [urgent, first, late]


async def test_take_does_not_mix_groups() -> None:
    queue = filled(make_entry(group=(3,)), make_entry(group=(4,)), make_entry(group=(3,)))
    assert len(queue.take(queue.next_lane(), 8)) == 2
    assert queue.rows == 1


async def test_cancelled_entries_leave_at_once_and_free_their_tensors() -> None:
    gone, stays = make_entry(rows=3), make_entry(rows=1)
    queue = filled(gone, stays)
    gone.cancel()
    assert (queue.rows, gone.inputs) == (1, ())
    assert queue.take(queue.next_lane(), 8) == [stays]


async def test_queue_does_not_grow_when_all_are_cancelled() -> None:
    queue = filled(make_entry())
    for _ in range(10_000):
        entry = make_entry()
        entry.withdraw = queue.remove
        queue.push([entry])
        entry.cancel()
    assert queue.rows == 1
    assert len(queue.next_lane().entries) < 300


async def test_rows_ahead_counts_only_what_leaves_before() -> None:
    urgent, normal = make_entry(rows=2), make_entry(rows=3)
    urgent.priority, normal.priority = 1, 2
    queue = filled(urgent, normal)
    assert [queue.rows_ahead(priority) for priority in (0, 1, 2)] == [0, 2, 5]
