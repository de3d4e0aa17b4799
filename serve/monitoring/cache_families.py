"""The response caches as Prometheus families."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serve.clock import NS_PER_S
from serve.monitoring.metrics import ServerMetrics, SharedCacheMetrics

__all__ = ["cache_families"]

LABELS = ["model", "version"]


def cache_families(metrics: ServerMetrics) -> Iterable[Metric]:
    """One sample of each for every version that keeps answers, or has."""
    requests = CounterMetricFamily(
        "penstock_cache_requests",
        "Requests to models with a response cache: hit, joined (the run of the same request),"
        " miss, bypassed.",
        labels=[*LABELS, "outcome"],
    )
    removed = CounterMetricFamily(
        "penstock_cache_removals",
        "Answers that went before they were asked for again: evicted (for others), expired, or"
        " too_large to be kept at all.",
        labels=[*LABELS, "reason"],
    )
    saved = CounterMetricFamily(
        "penstock_cache_saved_seconds",
        "What the answers of all hits had taken to make, in the queue and in the model.",
        labels=LABELS,
    )
    lookups = CounterMetricFamily(
        "penstock_cache_lookup_seconds",
        "Time spent on looking up and keeping answers, by the outcome of the request.",
        labels=[*LABELS, "outcome"],
    )
    answers = GaugeMetricFamily("penstock_cache_answers", "Answers that are kept.", labels=LABELS)
    shared_hits = CounterMetricFamily(
        "penstock_cache_shared_hits",
        "Hits with an answer that another process made, or this one before its last start.",
        labels=LABELS,
    )
    held = GaugeMetricFamily("penstock_cache_bytes", "Memory of the answers.", labels=LABELS)
    for version in list(metrics.versions.values()):
        cache = version.cache
        if cache is None:
            continue
        names = [version.model, version.version]
        requests.add_metric([*names, "hit"], cache.hits)
        requests.add_metric([*names, "joined"], cache.joined)
        requests.add_metric([*names, "miss"], cache.misses)
        requests.add_metric([*names, "bypassed"], cache.bypassed)
        removed.add_metric([*names, "evicted"], cache.evicted)
        removed.add_metric([*names, "expired"], cache.expired)
        removed.add_metric([*names, "too_large"], cache.too_large)
        saved.add_metric(names, cache.saved_ns / NS_PER_S)
        lookups.add_metric([*names, "hit"], cache.hit_ns / NS_PER_S)
        lookups.add_metric([*names, "miss"], cache.miss_ns / NS_PER_S)
        answers.add_metric(names, cache.answers)
        held.add_metric(names, cache.held_bytes)
        shared_hits.add_metric(names, cache.shared_hits)
    yield from (requests, removed, saved, lookups, answers, held, shared_hits)
    if metrics.shared_cache is not None:
        yield from _shared(metrics.shared_cache)


def _shared(shared: SharedCacheMetrics) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "penstock_cache_shared_available",
        "Whether the shared store answers; 0: requests go on without it.",
        value=float(shared.available),
    )
    failures = CounterMetricFamily(
        "penstock_cache_shared_failures",
        "Commands to the shared store that gave nothing, by reason: timeout, error, busy.",
        labels=["reason"],
    )
    for reason in ("timeout", "error", "busy"):
        failures.add_metric([reason], shared.failures[reason])
    yield failures
    yield CounterMetricFamily(
        "penstock_cache_shared_commands", "Commands that it answered.", value=shared.commands
    )
    yield CounterMetricFamily(
        "penstock_cache_shared_command_seconds",
        "Time of the commands that it answered.",
        value=shared.command_ns / NS_PER_S,
    )
