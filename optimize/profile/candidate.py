"""The profile of one candidate: beside the fp32 export and the original, and what loading takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import psutil

from optimize.profile.buckets import Bucket, cut
from optimize.profile.measure import measure
from optimize.session import ServedModel
from serve.clock import monotonic_ns
from serve.tensors import Array

__all__ = ["OriginalCalls", "profile_candidate"]

CANDIDATE, BASELINE, ORIGINAL = "candidate", "baseline", "original"


class OriginalCalls(Protocol):
    """The original, asked in its own library."""

    def calls(self, bucket: Bucket, size: int) -> Callable[[], object]:
        """A call with a batch of such rows, which is made before the clock runs."""


def profile_candidate(
    load: Callable[[], ServedModel],
    size_bytes: int,
    load_baseline: Callable[[], ServedModel],
    inputs: Mapping[str, Array],
    batch_sizes: Sequence[int],
    buckets: Sequence[Bucket],
    original: OriginalCalls | None = None,
) -> dict[str, Any]:
    """Latency by batch size and bucket, with the speed-up over the baseline and over the original;
    and what it takes to load.

    Args:
        load: opens the candidate as it would be served.
        load_baseline: opens the export, with one thread and all graph optimisations.
    """
    process = psutil.Process()
    before = process.memory_info().rss
    start = monotonic_ns()
    candidate = load()
    candidate.answer({name: array[:1] for name, array in inputs.items()})
    load_ms = (monotonic_ns() - start) / 1e6
    memory = max(0, process.memory_info().rss - before)
    rows_there = len(next(iter(inputs.values())))
    sizes = sorted({min(size, rows_there) for size in batch_sizes})
    with candidate, load_baseline() as reference:
        rows = [
            _row(candidate, reference, inputs, bucket, size, original)
            for bucket in buckets
            for size in sizes
        ]
    return {
        "rows": rows,
        "typical_length": next(bucket.length for bucket in buckets if bucket.typical),
        "load_ms": load_ms,
        "memory_bytes": memory,
        "size_bytes": size_bytes,
    }


def _row(
    candidate: ServedModel,
    reference: ServedModel,
    inputs: Mapping[str, Array],
    bucket: Bucket,
    size: int,
    original: OriginalCalls | None,
) -> dict[str, Any]:
    """What batches of one size and bucket take."""
    index = bucket.batch(size)
    arrays = cut({name: array[index] for name, array in inputs.items()}, bucket)
    batch, same = candidate.batch(arrays), reference.batch(arrays)
    runs: dict[str, Callable[[], object]] = {
        BASELINE: lambda: reference.run(same),
        CANDIDATE: lambda: candidate.run(batch),
    }
    if original is not None:
        runs[ORIGINAL] = original.calls(bucket, size)
    timings = measure(runs)
    row: dict[str, Any] = {"batch": size, "length": bucket.length, **timings[CANDIDATE].as_json()}
    row["speedup"] = timings[CANDIDATE].ratio
    row["baseline_p50_ns"] = timings[BASELINE].p50_ns
    if ORIGINAL in timings:
        other = timings[ORIGINAL]
        row["original_p50_ns"] = other.p50_ns
        row["original_speedup"] = timings[CANDIDATE].ratio / other.ratio
        row["original_stable"] = other.stable
        row["original_windows"] = [
            mine / theirs
            for mine, theirs in zip(timings[CANDIDATE].windows, other.windows, strict=True)
        ]
    return row
