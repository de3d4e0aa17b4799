"""Answers held in memory: how long, how many, and what they weigh."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from serve.cache import MemoryCache
from serve.cache.memory import ARRAY_BYTES, ENTRY_BYTES
from serve.monitoring.metrics import CacheMetrics

ONE_BYTES = ENTRY_BYTES + ARRAY_BYTES + 8


def answer(value: float = 0.0) -> list[Any]:
    return [np.array([value])]


def cache_of(answers: int) -> tuple[MemoryCache, CacheMetrics]:
    metrics = CacheMetrics()
    return MemoryCache(answers * ONE_BYTES, metrics), metrics


def test_answer_is_kept_until_it_expires() -> None:
    cache, metrics = cache_of(2)
    cache.put(b"k", answer(7), took_ns=5, expires_ns=100)
    found = cache.get(b"k", 99)
    assert found is not None
    assert (found.outputs[0].tolist(), found.took_ns) == ([7], 5)
    assert cache.get(b"k", 100) is None
    assert (metrics.expired, metrics.answers, metrics.held_bytes) == (1, 0, 0)


def test_answer_without_an_end_is_kept() -> None:
    cache, _ = cache_of(1)
    cache.put(b"k", answer(), 0, expires_ns=0)
    assert cache.get(b"k", 2**62) is not None


def test_least_recently_used_goes_first() -> None:
    cache, metrics = cache_of(2)
    for key in (b"a", b"b"):
        cache.put(key, answer(), 0, 0)
    cache.get(b"a", 0)
    cache.put(b"c", answer(), 0, 0)
    assert [key for key in (b"a", b"b", b"c") if cache.get(key, 0)] == [b"a", b"c"]
    assert (metrics.evicted, metrics.answers, metrics.held_bytes) == (1, 2, 2 * ONE_BYTES)


def test_answer_larger_than_the_cache_evicts_nothing() -> None:
    cache, metrics = cache_of(2)
    cache.put(b"a", answer(), 0, 0)
    cache.put(b"large", [np.zeros(1000)], 0, 0)
    assert cache.get(b"a", 0) and not cache.get(b"large", 0)
    assert (metrics.too_large, metrics.evicted) == (1, 0)


def test_answer_takes_the_place_of_an_older_one() -> None:
    cache, metrics = cache_of(2)
    cache.put(b"k", answer(1), 0, 0)
    cache.put(b"k", answer(2), 0, 0)
    found = cache.get(b"k", 0)
    assert found is not None and found.outputs[0].tolist() == [2]
    assert (len(cache), metrics.held_bytes) == (1, ONE_BYTES)


def test_kept_answer_is_a_copy_that_cannot_be_written() -> None:
    cache, _ = cache_of(1)
    batch = np.arange(4.0).reshape(4, 1)
    cache.put(b"k", [batch[1:2]], 0, 0)
    batch[:] = 9
    found = cache.get(b"k", 0)
    assert found is not None and found.outputs[0].tolist() == [[1]]
    assert found.outputs[0].base is None
    with pytest.raises(ValueError, match="read-only"):
        found.outputs[0][0] = 5


def test_cleared_cache_holds_nothing_and_its_counters_stay() -> None:
    metrics = CacheMetrics()
    old, new = (MemoryCache(4 * ONE_BYTES, metrics) for _ in range(2))
    old.put(b"a", answer(), 0, 0)
    new.put(b"a", answer(), 0, 0)
    old.clear()
    assert (len(old), metrics.answers, metrics.held_bytes) == (0, 1, ONE_BYTES)


@pytest.mark.parametrize(
    "outputs",
    [answer(), [np.zeros(100), np.zeros((1, 3))], [np.array([b"x" * 30] * 8, object)]],
    ids=["small", "two", "bytes"],
)
def test_memory_is_not_more_than_is_counted(outputs: list[Any]) -> None:
    cache = MemoryCache(2**26, metrics := CacheMetrics())
    count = 2000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            own = [
                np.array([bytes(bytearray(e)) for e in a], object) if a.dtype == object else a
                for a in outputs
            ]
            cache.put(number.to_bytes(32, "little"), own, 10**6 + number, 10**12 + number)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.5 * metrics.held_bytes < used <= metrics.held_bytes
