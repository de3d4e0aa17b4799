"""Five times the load from one second to the next, and back: how soon is the SLO kept again?

Poisson arrivals at a base rate, at a multiple of it, and at the base rate again. Unlike
``overload`` the burst is within what the server can do; what shows is how it takes the change.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.loadgen.spec import OpenLoop, Phase
from benchmarks.measurement import Measurement
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.timeline import back_to_slo_s

NAME = "step_burst"
SLICE_S = 0.1
METRICS = {
    **LOAD_METRICS,
    "before.latency_ms.p99": "At the base rate, before.",
    "burst.latency_ms.p99": "Over the whole burst.",
    "burst.error_rate": "Part of the burst neither answered well nor refused.",
    "burst.refused_rate": "Part of the burst that was refused.",
    "after.latency_ms.p99": "At the base rate, after.",
    "time_to_slo_s": "From the beginning of the burst to a second in which all answers are good.",
    "recovery_s": "From the end of the burst to a second in which all answers are good.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How high a step."""

    rate: Annotated[float, Meta(gt=0, description="Requests a second before and after.")] = 300.0
    factor: Annotated[float, Meta(gt=1, description="Times as many in the burst.")] = 5.0
    normal_s: Annotated[float, Meta(gt=0, description="Base rate before, and after.")] = 10.0
    burst_s: Annotated[float, Meta(gt=0, description="Length of the burst.")] = 10.0
    warmup_s: Annotated[float, Meta(ge=0, description="Base rate before all that.")] = 2.0
    connections: Annotated[int, Meta(ge=1, description="Most requests under way at once.")] = 256


def planned_s(params: Params) -> float:
    """About how long it takes."""
    lasts_s = params.warmup_s + 2 * params.normal_s + params.burst_s
    return SERVER_S + loads_s(1, lasts_s)


def run(context: Context, params: Params) -> Measurement:
    """One load of three steps."""
    phases = [
        Phase("before", params.rate, params.normal_s),
        Phase("burst", params.rate * params.factor, params.burst_s),
        Phase("after", params.rate, params.normal_s),
    ]
    if params.warmup_s:
        phases.insert(0, Phase("warmup", params.rate, params.warmup_s, measured=False))
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        load = OpenLoop(phases=tuple(phases), seed=context.seed)
        spec = load_spec(
            *(params, server, payloads_for(context, params, server), load), slice_s=SLICE_S
        )
        what = f"{params.rate:,.0f}/s, {params.factor:g} times as many, and back"
        driven = attempt.drive(server, spec, what)
        before, burst, after = (driven.report.phase(name) for name in ("before", "burst", "after"))
        burst_s = params.warmup_s + params.normal_s
        after_s = burst_s + params.burst_s
        timeline, slo_ms = driven.report.timeline, params.slo_ms
        return attempt.of_load(
            driven,
            metrics={
                "before.latency_ms.p99": before.latency_ms.p99,
                "burst.latency_ms.p99": burst.latency_ms.p99,
                "burst.error_rate": burst.error_rate,
                "burst.refused_rate": burst.refused_rate,
                "after.latency_ms.p99": after.latency_ms.p99,
                "time_to_slo_s": back_to_slo_s(timeline, burst_s, after_s, slo_ms),
                "recovery_s": back_to_slo_s(timeline, after_s, after_s + params.normal_s, slo_ms),
            },
        )
