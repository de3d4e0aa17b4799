"""The process of one LoadGen run: a ``Job`` on standard input, an ``Outcome`` on standard out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlperf_loadgen
import msgspec

from benchmarks.mlperf.job import Job, Outcome
from benchmarks.mlperf.log_summary import parse
from benchmarks.mlperf.sut import System

__all__ = ["run", "settings"]

LIBRARY_SAMPLES = 1024
SINGLE_STREAM_EXPECTED_NS = 100_000
"""Queries are made beforehand for this latency, and a faster server runs out of them."""


def settings(job: Job) -> Any:
    """LoadGen's ``TestSettings``: its rules, with a duration of ours and no official floor."""
    made = mlperf_loadgen.TestSettings()
    made.scenario = getattr(mlperf_loadgen.TestScenario, job.scenario)
    made.mode = mlperf_loadgen.TestMode.PerformanceOnly
    made.min_duration_ms = round(job.duration_s * 1e3)
    made.min_query_count = 1
    made.server_target_qps = job.rate_per_s
    made.server_target_latency_ns = round(job.slo_ms * 1e6)
    made.server_target_latency_percentile = 0.99
    made.single_stream_expected_latency_ns = SINGLE_STREAM_EXPECTED_NS
    made.offline_expected_qps = job.rate_per_s
    made.qsl_rng_seed = made.sample_index_rng_seed = made.schedule_rng_seed = job.seed
    return made


def run(job: Job) -> Outcome:
    """Drive the server with LoadGen.

    Raises:
        OSError: the server cannot be reached.
        ValueError: LoadGen left no summary that we understand.
    """

    def complete(identities: Sequence[int]) -> None:
        # Without data: only accuracy runs look at it.
        mlperf_loadgen.QuerySamplesComplete(
            [mlperf_loadgen.QuerySampleResponse(identity, 0, 0) for identity in identities]
        )

    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    logs = mlperf_loadgen.LogSettings()
    logs.log_output.outdir = job.folder
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = False
    system = System(job.spec, complete)
    system.start()
    sut = mlperf_loadgen.ConstructSUT(system.issue, _nothing)
    library = mlperf_loadgen.ConstructQSL(LIBRARY_SAMPLES, LIBRARY_SAMPLES, _load, _load)
    try:
        mlperf_loadgen.StartTestWithLogSettings(sut, library, settings(job), logs)
    finally:
        system.stop()
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(sut)
    summary = (folder / "mlperf_log_summary.txt").read_text()
    return parse(summary, job.scenario, system.failed)


def _nothing() -> None:
    """LoadGen's flush: nothing is held back here."""


def _load(samples: Sequence[int]) -> None:
    """LoadGen loads and unloads samples; ours are bytes that are there."""


def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(run(job)))


if __name__ == "__main__":
    main()
