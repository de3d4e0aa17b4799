"""Who is let in, what is counted, and who is told when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from serve.errors import NotReady, Overloaded
from serve.transport.grpc.intake import Intake


class Context:
    """What an intake asks of a call."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Any], None]] = []

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def end(self) -> None:
        for callback in self.callbacks:
            callback(self)


async def test_calls_are_counted_until_grpc_is_done_with_them() -> None:
    intake, context = Intake(1, 100), Context()
    lease = intake.enter(context)
    lease.hold_message(60)
    assert (intake.calls, intake.held_bytes) == (1, 60)
    context.end()
    assert (intake.calls, intake.held_bytes) == (0, 0)


async def test_call_over_the_limit_is_refused_with_a_hint() -> None:
    intake = Intake(1, 100)
    intake.enter(Context())
    with pytest.raises(Overloaded, match="--grpc-max-concurrent-rpcs") as caught:
        intake.enter(Context())
    assert caught.value.retry_after_s


async def test_message_that_does_not_fit_is_refused_and_not_counted() -> None:
    intake = Intake(9, 100)
    first, second = intake.enter(Context()), intake.enter(Context())
    first.hold_message(60)
    with pytest.raises(Overloaded, match="--grpc-max-inflight-bytes"):
        second.hold_message(41)
    second.hold_message(40)
    assert intake.held_bytes == 100


async def test_call_is_refused_before_its_message_is_read_when_all_is_full() -> None:
    intake = Intake(9, 100)
    intake.enter(Context()).hold_message(100)
    with pytest.raises(Overloaded, match="--grpc-max-inflight-bytes"):
        intake.enter(Context())


async def test_answer_is_counted_in_place_of_the_message_and_refuses_nobody_itself() -> None:
    intake = Intake(9, 100)
    lease = intake.enter(Context())
    lease.hold_message(60)
    lease.hold_only(500)
    assert intake.held_bytes == 500


async def test_closed_intake_lets_nobody_in() -> None:
    intake = Intake(9, 100)
    intake.close()
    with pytest.raises(NotReady):
        intake.enter(Context())


async def test_empty_waits_for_the_last_call() -> None:
    intake, contexts = Intake(9, 100), [Context(), Context()]
    assert await intake.empty(0)
    for context in contexts:
        intake.enter(context)
    assert not await intake.empty(0)
    waiting = asyncio.create_task(intake.empty(60))
    for context in contexts:
        await asyncio.sleep(0)
        assert not waiting.done()
        context.end()
    assert await waiting


async def test_abandoned_call_is_cancelled_and_knows_why() -> None:
    intake = Intake(9, 100)
    seen = []

    async def call() -> None:
        lease = intake.enter(Context())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(lease.abandoned)

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    intake.abandon()
    await task
    assert len(seen) == 1
    assert "has stopped" in seen[0]


async def test_call_that_comes_takes_the_place_of_the_one_that_rested_longest() -> None:
    intake = Intake(2, 100, min_rest_s=0)
    abandoned = []

    async def stream(name: str) -> None:
        lease = intake.enter(Context())
        lease.rest()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            abandoned.append((name, lease.abandoned))

    streams = [asyncio.create_task(stream(name)) for name in ("first", "second")]
    await asyncio.sleep(0)
    intake.enter(Context())
    await streams[0]
    assert [name for name, _ in abandoned] == ["first"]
    assert "idle" in abandoned[0][1]
    intake.abandon()
    await streams[1]


async def test_call_at_work_or_only_just_at_rest_makes_no_room() -> None:
    intake = Intake(2, 100)
    busy, rested = intake.enter(Context()), intake.enter(Context())
    busy.rest()
    busy.work()
    rested.rest()
    with pytest.raises(Overloaded):
        intake.enter(Context())


async def test_call_that_ended_at_rest_is_forgotten() -> None:
    intake, context = Intake(1, 100), Context()
    intake.enter(context).rest()
    context.end()
    assert intake.resting == {}
