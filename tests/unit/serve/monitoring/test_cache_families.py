from __future__ import annotations

from serve.clock import NS_PER_S
from serve.monitoring.cache_families import cache_families
from serve.monitoring.metrics import CacheMetrics, ServerMetrics, SharedCacheMetrics


def samples(metrics: ServerMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("penstock_cache_"), *sample.labels.values()): sample.value
        for family in cache_families(metrics)
        for sample in family.samples
    }


def test_families_tell_what_became_of_requests_and_answers() -> None:
    metrics = ServerMetrics()
    cache = metrics.version("m", "1").cache = CacheMetrics(hits=4, joined=3, misses=2, bypassed=1)
    cache.evicted, cache.expired, cache.too_large = 5, 6, 7
    cache.saved_ns, cache.hit_ns, cache.miss_ns = 8 * NS_PER_S, NS_PER_S // 2, NS_PER_S // 4
    cache.answers, cache.held_bytes, cache.shared_hits = 9, 4096, 10
    assert samples(metrics) == {
        ("requests_total", "m", "1", "hit"): 4,
        ("requests_total", "m", "1", "joined"): 3,
        ("requests_total", "m", "1", "miss"): 2,
        ("requests_total", "m", "1", "bypassed"): 1,
        ("removals_total", "m", "1", "evicted"): 5,
        ("removals_total", "m", "1", "expired"): 6,
        ("removals_total", "m", "1", "too_large"): 7,
        ("saved_seconds_total", "m", "1"): 8,
        ("lookup_seconds_total", "m", "1", "hit"): 0.5,
        ("lookup_seconds_total", "m", "1", "miss"): 0.25,
        ("answers", "m", "1"): 9,
        ("bytes", "m", "1"): 4096,
        ("shared_hits_total", "m", "1"): 10,
    }


def test_model_without_a_cache_has_no_samples() -> None:
    metrics = ServerMetrics()
    metrics.version("m", "1")
    assert samples(metrics) == {}


def test_families_tell_how_the_shared_store_does() -> None:
    metrics = ServerMetrics()
    metrics.shared_cache = SharedCacheMetrics(commands=3, command_ns=NS_PER_S, available=False)
    metrics.shared_cache.failures["timeout"] += 2
    assert samples(metrics) == {
        ("shared_available",): 0,
        ("shared_failures_total", "timeout"): 2,
        ("shared_failures_total", "error"): 0,
        ("shared_failures_total", "busy"): 0,
        ("shared_commands_total",): 3,
        ("shared_command_seconds_total",): 1,
    }
