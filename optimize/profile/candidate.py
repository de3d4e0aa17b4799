"""The profile of one candidate: beside the fp32 export and the original, and what loading takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from optimize.profile.measure import measure
from optimize.session import ServedModel
from serve.clock import monotonic_ns
from serve.tensors import Array

__all__ = ["profile_candidate"]

CANDIDATE, BASELINE, ORIGINAL = "candidate", "baseline", "original"


def profile_candidate(
    path: Path,
    threads: int,
    baseline: Path,
    inputs: Mapping[str, Array],
    batch_sizes: Sequence[int],
    original: Any = None,
) -> dict[str, Any]:
    """Latency by batch size, speed-up over ``baseline`` (one thread) and over ``original``.

    Args:
        original: None, or an object whose ``calls(rows)`` gives a function that answers the
            first ``rows`` rows with the original's own library.
    """
    process = psutil.Process()
    before = process.memory_info().rss
    start = monotonic_ns()
    candidate = ServedModel(path, threads)
    first = {name: array[:1] for name, array in inputs.items()}
    candidate.answer(first)
    load_ms = (monotonic_ns() - start) / 1e6
    memory = max(0, process.memory_info().rss - before)
    rows_there = len(next(iter(inputs.values())))
    rows: list[dict[str, Any]] = []
    with candidate, ServedModel(baseline, 1) as reference:
        for size in sorted({min(size, rows_there) for size in batch_sizes}):
            arrays = {name: array[:size] for name, array in inputs.items()}
            batch, same = candidate.batch(arrays), reference.batch(arrays)
            runs = {
                BASELINE: lambda same=same: reference.run(same),
                CANDIDATE: lambda batch=batch: candidate.run(batch),
            }
            if original is not None:
                runs[ORIGINAL] = original.calls(size)
            timings = measure(runs)
            row = {"batch": size, **timings[CANDIDATE].as_json()}
            row["speedup"] = timings[CANDIDATE].ratio
            row["baseline_p50_ns"] = timings[BASELINE].p50_ns
            if ORIGINAL in timings:
                other = timings[ORIGINAL]
                row["original_p50_ns"] = other.p50_ns
                row["original_speedup"] = timings[CANDIDATE].ratio / other.ratio
                row["original_stable"] = other.stable
            rows.append(row)
    size_bytes = sum(file.stat().st_size for file in path.parent.glob("model.*"))
    return {
        "threads": threads,
        "rows": rows,
        "load_ms": load_ms,
        "memory_bytes": memory,
        "size_bytes": size_bytes,
    }
