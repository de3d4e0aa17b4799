"""The statistics extension's reply for one model version (Triton ``extension_statistics``)."""

from __future__ import annotations

from typing import Any

from serve.clock import NS_PER_MS
from serve.monitoring.metrics import CacheMetrics, VersionMetrics

__all__ = ["model_statistics"]


def model_statistics(metrics: VersionMetrics, epoch_offset_ns: int) -> dict[str, Any]:
    """One element of ``model_stats``; all durations are true sums in nanoseconds.

    ``epoch_offset_ns`` turns monotonic nanoseconds into those since 1970. ``inference_count`` is
    in rows; the compute stages count executions, ``success``, ``fail`` and ``queue`` requests.
    A request that shared another's run counts as a cache hit: the model did not run for it.
    """
    cache = metrics.cache or CacheMetrics()
    batches = metrics.batches
    executions = sum(cost.executions for cost in batches.values())
    input_ns = sum(cost.input_ns for cost in batches.values())
    infer_ns = sum(cost.infer_ns for cost in batches.values())
    output_ns = sum(cost.output_ns for cost in batches.values())
    last_ms = (metrics.last_ns + epoch_offset_ns) // NS_PER_MS if metrics.last_ns else 0
    return {
        "name": metrics.model,
        "version": metrics.version,
        "last_inference": last_ms,
        "inference_count": metrics.rows,
        "execution_count": executions,
        "inference_stats": {
            "success": _duration(metrics.successes, metrics.success_ns),
            "fail": _duration(metrics.failures, metrics.failure_ns),
            "queue": _duration(metrics.successes, metrics.queue_ns),
            "compute_input": _duration(executions, input_ns),
            "compute_infer": _duration(executions, infer_ns),
            "compute_output": _duration(executions, output_ns),
            "cache_hit": _duration(cache.hits + cache.joined, cache.hit_ns),
            "cache_miss": _duration(cache.misses, cache.miss_ns),
        },
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _duration(cost.executions, cost.input_ns),
                "compute_infer": _duration(cost.executions, cost.infer_ns),
                "compute_output": _duration(cost.executions, cost.output_ns),
            }
            for rows, cost in sorted(batches.items())
        ],
        "memory_usage": [],
        "response_stats": {},
    }


def _duration(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
