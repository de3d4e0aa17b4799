"""The same load by LoadGen and by our own generator, one after the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.loadgen.launch import run_load
from benchmarks.loadgen.profiles import steady
from benchmarks.loadgen.spec import ClosedLoop, LoadReport, LoadSpec, OpenLoop, Target
from benchmarks.mlperf.job import Job, Outcome, Scenario
from benchmarks.payloads import Payload

__all__ = ["Comparison", "LoadGenError", "Plan", "compare", "render"]

OFFLINE_MARGIN = 1.2
"""LoadGen must ask for more samples than can be answered in the time, or its run is too short."""


class LoadGenError(RuntimeError):
    """The process of a LoadGen run failed; carries what it said."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What all scenarios share."""

    target: Target
    payloads: tuple[Payload, ...]
    connections: int
    """Of Server and Offline; SingleStream has one."""
    rate_per_s: float
    duration_s: float
    slo_ms: float
    seed: int
    folder: Path
    """Where LoadGen's logs go, a folder a scenario."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Both views of one scenario."""

    loadgen: Outcome
    ours: Outcome
    """Ours as LoadGen would put it; valid means that the generator kept its own times."""


def compare(scenario: Scenario, plan: Plan) -> Comparison:
    """Ours first, because Offline has to be told what rate to expect.

    Raises:
        LoadGenError: LoadGen's process failed.
    """
    spec = _spec(scenario, plan)
    ours = _ours(scenario, run_load(spec), plan.slo_ms)
    rate = ours.per_s * OFFLINE_MARGIN if scenario == "Offline" else plan.rate_per_s
    job = Job(
        scenario=scenario,
        spec=spec,
        folder=str(plan.folder / scenario),
        duration_s=plan.duration_s,
        rate_per_s=max(1.0, rate),
        slo_ms=plan.slo_ms,
        seed=plan.seed,
    )
    return Comparison(loadgen=_run(job), ours=ours)


def _spec(scenario: Scenario, plan: Plan) -> LoadSpec:
    load: OpenLoop | ClosedLoop = ClosedLoop(duration_s=plan.duration_s)
    if scenario == "Server":
        load = OpenLoop(phases=steady(plan.rate_per_s, plan.duration_s), seed=plan.seed)
    return LoadSpec(
        target=plan.target,
        payloads=plan.payloads,
        load=load,
        connections=1 if scenario == "SingleStream" else plan.connections,
        slo_ms=plan.slo_ms,
    )


def _ours(scenario: Scenario, report: LoadReport, slo_ms: float) -> Outcome:
    latency = report.total.latency_ms
    failed = report.total.offered - report.total.ok
    reasons = report.health.reasons
    if failed:
        reasons += (f"{failed} requests had no good answer",)
    if scenario == "Server" and latency.p99 > slo_ms:
        reasons += (f"p99 {latency.p99} ms is over {slo_ms:g} ms",)
    return Outcome(
        scenario=scenario,
        valid=not reasons,
        reasons=reasons,
        failed=failed,
        per_s=round(report.total.ok_per_s, 2),
        p50_ms=latency.p50,
        p90_ms=latency.p90,
        p99_ms=latency.p99,
    )


def _run(job: Job) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mlperf.run_job"],
        input=msgspec.json.encode(job),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise LoadGenError(f"{job.scenario}: {done.stderr.decode(errors='replace')[-1500:]}")
    return msgspec.json.decode(done.stdout, type=Outcome)


def render(comparisons: Sequence[Comparison]) -> str:
    """A Markdown table, two lines a scenario."""
    lines = [
        "| scenario | generator | verdict | samples/s | p50 ms | p90 ms | p99 ms | not answered |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for one in comparisons:
        for name, seen in (("MLPerf LoadGen", one.loadgen), ("ours", one.ours)):
            verdict = "VALID" if seen.valid else f"INVALID: {'; '.join(seen.reasons)}"
            lines.append(
                f"| {seen.scenario} | {name} | {verdict} | {seen.per_s:,.1f} | {seen.p50_ms:.2f}"
                f" | {seen.p90_ms:.2f} | {seen.p99_ms:.2f} | {seen.failed:,} |"
            )
    return "\n".join(lines) + "\n"
