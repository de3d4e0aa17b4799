from __future__ import annotations

import asyncio

from serve.clock import NS_PER_MS, NS_PER_S
from serve.scheduling.alarm import NEVER_NS, Alarm


async def test_alarm_rings_once_and_can_be_set_again() -> None:
    rung = asyncio.Event()
    alarm = Alarm(asyncio.get_running_loop(), rung.set)
    assert alarm.due_ns == NEVER_NS
    alarm.set(5 * NS_PER_MS, 0)
    assert alarm.due_ns == 5 * NS_PER_MS
    await asyncio.wait_for(rung.wait(), 30)
    assert alarm.due_ns == NEVER_NS
    rung.clear()
    alarm.set(0, NS_PER_S)  # what is past is due now
    await asyncio.wait_for(rung.wait(), 30)


async def test_alarm_that_is_set_to_another_time_or_cancelled_does_not_ring_at_the_first() -> None:
    rings: list[int] = []
    loop = asyncio.get_running_loop()
    alarm = Alarm(loop, lambda: rings.append(alarm.due_ns))
    alarm.set(0, 0)
    alarm.set(3600 * NS_PER_S, 0)
    other = Alarm(loop, lambda: rings.append(1))
    other.set(0, 0)
    other.cancel()
    over = asyncio.Event()
    loop.call_later(0.01, over.set)
    await over.wait()
    assert rings == []
    assert alarm.due_ns == 3600 * NS_PER_S
    alarm.cancel()
