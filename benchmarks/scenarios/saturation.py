"""As much as the server can do: so many callers, each of whom asks again when it is answered.

A closed loop at several numbers of connections, one after the other. Throughput is the server's
limit (with the generator on the same cores: the limit of both together); CPU per request is what
neighbours on the machine disturb least. The metrics without a prefix are those of the level with
the most good answers a second.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt, Driven
from benchmarks.context import Context
from benchmarks.loadgen.spec import ClosedLoop
from benchmarks.measurement import CurvePoint, Measurement
from benchmarks.scenarios.params import Count, LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s

NAME = "saturation"
METRICS = {
    **LOAD_METRICS,
    "at_{level}.rate_per_s.ok": "Good answers at so many connections.",
    "at_{level}.latency_ms.p99": "Latency at so many connections.",
    "at_{level}.server_cpu_us_per_req": "CPU a request at so many connections.",
}
SHOWN = ("rate_per_s.ok", "latency_ms.p99", "server_cpu_us_per_req")


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers, and how long."""

    levels: Annotated[
        tuple[Count, ...],
        Meta(min_length=1, description="Numbers of connections, in place of `connections`."),
    ] = (64, 256)
    duration_s: Annotated[float, Meta(gt=0, description="Load that counts, a level.")] = 10.0
    warmup_s: Annotated[float, Meta(ge=0, description="Load before it.")] = 2.0
    tool: Annotated[
        Literal["own", "wrk", "auto"],
        Meta(description="Generator; wrk knows HTTP only, and sends the first payload only."),
    ] = "own"


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(len(params.levels), params.warmup_s + params.duration_s)


def run(context: Context, params: Params) -> Measurement:
    """One load a level."""
    driven: dict[int, Driven] = {}
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        payloads = payloads_for(context, params, server)
        if params.tool == "wrk":
            payloads = payloads[:1]
        load = ClosedLoop(duration_s=params.duration_s, warmup_s=params.warmup_s, tool=params.tool)
        for level in params.levels:
            spec = load_spec(params, server, payloads, load, connections=level)
            driven[level] = attempt.drive(server, spec, f"{level} connections")
            attempt.invalid += [
                f"at {level} connections: {why}" for why in driven[level].report.health.reasons
            ]
        best = max(driven.values(), key=lambda one: one.report.total.ok_per_s)
        at_levels = {
            f"at_{level}.{name}": one.metrics[name]
            for level, one in driven.items()
            for name in SHOWN
            if name in one.metrics
        }
        return attempt.measurement(
            {**best.metrics, **at_levels},
            histogram=best.report.total.histogram,
            timeline=best.report.timeline,
            batch_rows=best.batch_rows,
            curve=tuple(_point(level, one) for level, one in driven.items()),
            curve_axis="connections",
        )


def _point(level: int, driven: Driven) -> CurvePoint:
    total = driven.report.total
    return CurvePoint(
        x=level,
        achieved_per_s=total.ok_per_s,
        p50_ms=total.latency_ms.p50,
        p99_ms=total.latency_ms.p99,
    )
