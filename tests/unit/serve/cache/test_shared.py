"""Answers in Redis: a real one, one that is mute, and none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.cache.shared import MAX_ANSWER_BYTES, MAX_WAITING_BYTES, SharedCache
from serve.clock import NS_PER_MS, NS_PER_S, FakeClock
from serve.monitoring.metrics import SharedCacheMetrics
from serve.tensors import TensorSpec
from tests.support.redis_server import RedisServer, need_redis

Y = (TensorSpec("y", "FP32", (-1, 1)),)
PATIENT_S = 10.0
KEY = b"k" * 32


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    need_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


class Bench:
    """A client of a store, with a clock of its own."""

    def __init__(self, url: str, timeout_s: float = PATIENT_S) -> None:
        self.metrics = SharedCacheMetrics()
        self.clock = FakeClock(NS_PER_S)
        loop = asyncio.get_running_loop()
        self.cache = SharedCache(url, timeout_s, self.metrics, self.clock, loop, 0)

    async def look_up(self, *keys: bytes) -> list[bytes | None]:
        found = [asyncio.get_running_loop().create_future() for _ in keys]
        for key, future in zip(keys, found, strict=True):
            self.cache.look_up(key, future.set_result)
        return await asyncio.wait_for(asyncio.gather(*found), 60)

    def keep(self, key: bytes, value: float, ttl_ns: int = 0) -> None:
        self.cache.keep(key, [np.array([[value]], np.float32)], Y, 5 * NS_PER_MS, ttl_ns)


Make = Callable[..., Bench]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Bench] = []

    def make(url: str, **options: Any) -> Bench:
        made.append(Bench(url, **options))
        return made[-1]

    yield make
    for bench in made:
        await bench.cache.close()


@pytest.fixture
async def mute(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a server that takes everything and says nothing."""
    need_redis()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()

    path = tmp_path / "mute.sock"
    async with await asyncio.start_unix_server(listen, path):
        yield f"unix://{path}"


async def test_answer_is_found_by_another_client(make: Make, redis: RedisServer) -> None:
    one, other = make(redis.url), make(redis.url)
    one.keep(KEY, 3)
    await settled(one)
    other.clock.advance_ms(40)
    found, missing = await other.look_up(KEY, b"unknown")
    assert missing is None and found is not None
    outputs, age_ns, took_ns = other.cache.unpack(found, Y, 1)
    assert outputs[0].tolist() == [[3]]
    assert (age_ns, took_ns) == (40 * NS_PER_MS, 5 * NS_PER_MS)


async def test_keys_of_one_turn_go_in_one_command(make: Make, redis: RedisServer) -> None:
    bench = make(redis.url)
    for number in range(50):
        bench.keep(b"turn%d" % number, number)
    await settled(bench)
    assert bench.metrics.commands == 1
    found = await bench.look_up(*(b"turn%d" % number for number in range(60)))
    assert bench.metrics.commands == 2
    values = [bench.cache.unpack(data, Y, 1)[0][0].item() for data in found if data]
    assert values == list(range(50)) and found[50:] == [None] * 10


async def test_answer_has_its_life_in_redis_too(make: Make, redis: RedisServer) -> None:
    from redis.asyncio import Redis

    bench = make(redis.url)
    bench.keep(b"mortal", 1, 90 * NS_PER_S)
    bench.keep(b"immortal", 1)
    await settled(bench)
    async with Redis.from_url(redis.url) as client:
        lives_ms = [
            await client.pttl(b"penstock:answer:" + key.hex().encode())
            for key in (b"mortal", b"immortal")
        ]
    assert 60_000 < lives_ms[0] <= 90_000 and lives_ms[1] == -1


async def test_large_answers_and_too_many_are_not_shared(make: Make, redis: RedisServer) -> None:
    bench = make(redis.url)
    large = np.zeros((1, MAX_ANSWER_BYTES // 4 + 1), np.float32)
    bench.cache.keep(b"large", [large], Y, 0, 0)
    half = np.zeros((1, MAX_ANSWER_BYTES // 8), np.float32)
    count = MAX_WAITING_BYTES // (MAX_ANSWER_BYTES // 2)
    for number in range(count + 3):
        bench.cache.keep(b"half%d" % number, [half], Y, 0, 0)
    assert bench.metrics.failures["busy"] == 4
    await settled(bench)
    assert (await bench.look_up(b"large", b"half0"))[0] is None
    bench.cache.keep(b"half", [half], Y, 0, 0)
    await settled(bench)
    assert (await bench.look_up(b"half"))[0] is not None


async def test_mute_server_is_waited_for_in_bounds_and_then_left_alone(
    make: Make, mute: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make(mute, timeout_s=0.01)
    for _ in range(3):
        assert bench.cache.lets_through()
        assert await bench.look_up(KEY) == [None]
    assert bench.metrics.failures["timeout"] == 3
    assert not bench.cache.lets_through() and not bench.metrics.available
    assert caplog.text.count("going on without the shared cache: no answer after 10 ms") == 1
    bench.keep(KEY, 1)
    assert not bench.cache._given


async def test_those_who_wait_behind_what_fails_do_not_try(make: Make, mute: str) -> None:
    bench = make(mute, timeout_s=0.01)
    keys = [b"%d" % number for number in range(5000)]
    assert await bench.look_up(*keys) == [None] * len(keys)
    assert bench.metrics.failures["timeout"] <= 6


async def test_server_that_comes_back_is_used_again(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    need_redis()
    caplog.set_level("INFO")
    server = RedisServer(tmp_path)
    bench = make(server.url)
    for _ in range(3):
        assert await bench.look_up(KEY) == [None]
    assert bench.metrics.failures["error"] == 3
    assert not bench.cache.lets_through()
    server.start()
    try:
        bench.clock.advance_ms(1000)
        assert bench.cache.lets_through()
        assert await bench.look_up(KEY) == [None]
        assert bench.cache.lets_through() and bench.metrics.available
        assert "the shared cache answers again" in caplog.text
        bench.keep(KEY, 1)
        await settled(bench)
        assert (await bench.look_up(KEY))[0] is not None
    finally:
        server.stop()


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_closing_tells_those_who_wait(turns: int, make: Make, mute: str) -> None:
    bench = make(mute)
    told: list[Any] = []
    for number in range(2000):
        bench.cache.look_up(b"%d" % number, told.append)
    for _ in range(turns):
        await asyncio.sleep(0)
    await bench.cache.close()
    assert told == [None] * 2000


async def test_wrong_url_is_refused_with_the_flag() -> None:
    need_redis()
    with pytest.raises(ValueError, match="--cache-redis: "):
        Bench("http://localhost")


async def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ValueError, match=r"pip install 'penstock\[redis\]'"):
        Bench("redis://localhost")


async def settled(bench: Bench) -> None:
    """Return when everything that was given is written."""
    async with asyncio.timeout(60):
        while bench.cache._waiting_bytes:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.001)
