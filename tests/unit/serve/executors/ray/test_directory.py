"""Who listens is told on its loop, of what was published before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from serve.executors.ray.directory import Directory
from serve.executors.remote.options import Endpoint

A, B = Endpoint("/a.sock"), Endpoint("/b.sock")


async def test_listener_is_told_of_what_is_there_and_of_changes() -> None:
    directory = Directory()
    told: asyncio.Queue[Mapping[str, Endpoint]] = asyncio.Queue()
    directory.publish("app", {"a": A})
    directory.listen("app", asyncio.get_running_loop(), told.put_nowait)
    assert await told.get() == {"a": A}
    await asyncio.to_thread(directory.publish, "app", {"a": A, "b": B})
    assert await told.get() == {"a": A, "b": B}


async def test_nobody_is_told_of_another_application_or_after_forgetting() -> None:
    directory = Directory()
    told: list[Mapping[str, Endpoint]] = []
    directory.listen("app", asyncio.get_running_loop(), told.append)
    directory.publish("other", {"a": A})
    directory.forget("app")
    directory.publish("app", {"b": B})
    await asyncio.sleep(0)
    assert told == []
