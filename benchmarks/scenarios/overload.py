"""More than the server can do, 1.5 and 3 times over: does it keep doing what it can?

Capacity first, as what a closed loop gets out of it. Then, for each factor, one open-loop run: half
the capacity, the burst, two seconds to recover, half the capacity again; Poisson arrivals, timed
from when they were due. Capacity is measured again afterwards: if the two differ by much, others
used the machine, and the attempt is invalid.

By default the model is one of about 1,000 rows a second (``steady``), whatever the batch: three
times the capacity of a fast model is more than a generator on the same cores can honestly send.
Metrics without a prefix are the worst over the factors; those of each one are under ``x{factor}``,
with ``_`` for the point.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.loadgen.spec import ClosedLoop, LoadReport, OpenLoop, Phase
from benchmarks.measurement import CurvePoint, Measurement, Slice
from benchmarks.models import FEATURES, STEADY
from benchmarks.payloads import Payload, json_rows
from benchmarks.scenarios.params import LoadParams, Positive, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.timeline import back_to_slo_s
from benchmarks.subject import Served

NAME = "overload"
RECOVERY_S = 2.0
NORMAL = 0.5
MAX_DRIFT = 1.2
SLICE_S = 0.1
WORST = {
    "goodput_ratio": (min, "Good answers a second in the burst, of the capacity."),
    "latency_ms.p50": (max, "Of what was accepted in the burst."),
    "latency_ms.p99": (max, "Of what was accepted in the burst."),
    "refused_rate": (max, "Part of the burst that was refused."),
    "failed": (max, "Requests neither answered well nor refused, over the whole run."),
    "refusals_without_hint": (max, "Refusals that do not say when to come again (HTTP)."),
    "before.ok_rate": (min, "Part answered well before the burst."),
    "before.latency_ms.p99": (max, "Before the burst."),
    "after.ok_rate": (min, "Part answered well once it had two seconds to recover."),
    "after.latency_ms.p99": (max, "Once it had two seconds to recover."),
    "recovery_s": (
        max,
        "From the end of the burst to the first second in which all answers are good.",
    ),
}
METRICS = {
    **{name: f"{text} The worst over the factors." for name, (_, text) in WORST.items()},
    **{f"x{{factor}}.{name}": text for name, (_, text) in WORST.items()},
    "capacity_per_s": "Good answers a second of the closed loop, before the bursts.",
    "capacity_drift": "Higher of the capacities before and after, by the lower.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much more."""

    use: Annotated[
        Literal["steady", "served"],
        Meta(description="`steady`: the benchmark model. `served`: the run's own."),
    ] = "steady"
    factors: Annotated[
        tuple[Positive, ...], Meta(min_length=1, description="Times the capacity, each a burst.")
    ] = (1.5, 3.0)
    burst_s: Annotated[float, Meta(gt=0, description="Length of a burst, and of normal load.")] = (
        9.0
    )
    capacity_s: Annotated[float, Meta(gt=0, description="Load that measures the capacity.")] = 5.0
    capacity_connections: Annotated[int, Meta(ge=1, description="Callers who measure it.")] = 32
    connections: Annotated[int, Meta(ge=1, description="Most requests under way at once.")] = 512


def planned_s(params: Params) -> float:
    """About how long it takes."""
    burst_s = 3 * params.burst_s + RECOVERY_S
    return SERVER_S + loads_s(2, params.capacity_s + 1) + loads_s(len(params.factors), burst_s)


def run(context: Context, params: Params) -> Measurement:
    """Capacity, the bursts, capacity."""
    with Attempt(context, NAME, params) as attempt, _served(context, params) as served:
        server, payloads = served
        before = _capacity(attempt, params, server, payloads, "capacity before")
        reports: dict[float, LoadReport] = {}
        for factor in params.factors:
            spec = load_spec(
                *(params, server, payloads, _burst(params, context, before, factor)),
                slice_s=SLICE_S,
            )
            reports[factor] = attempt.drive(server, spec, f"{factor:g} × {before:,.0f}/s").report
            attempt.invalid += [f"at {factor:g} ×: {why}" for why in reports[factor].health.reasons]
        after = _capacity(attempt, params, server, payloads, "capacity after")
        drift = max(before, after) / max(1e-9, min(before, after))
        if drift > MAX_DRIFT:
            attempt.invalid.append(
                f"capacity was {before:,.0f} requests/s before and {after:,.0f} after"
            )
        seen = {factor: _metrics(params, report, before) for factor, report in reports.items()}
        metrics = {
            name: pick(one[name] for one in seen.values()) for name, (pick, _) in WORST.items()
        }
        for factor, one in seen.items():
            metrics |= {f"x{factor:g}".replace(".", "_") + f".{name}": one[name] for name in one}
        hardest = reports[max(params.factors)]
        return attempt.measurement(
            {**metrics, "capacity_per_s": before, "capacity_drift": drift},
            histogram=hardest.phase("burst").histogram,
            timeline=hardest.timeline,
            curve=tuple(_point(factor, report) for factor, report in reports.items()),
            curve_axis="times the capacity",
        )


@contextlib.contextmanager
def _served(context: Context, params: Params) -> Iterator[tuple[Served, tuple[Payload, ...]]]:
    if params.use == "steady":
        with context.serving(STEADY) as server:
            yield server, (json_rows(STEADY.name, 1, FEATURES),)
    else:
        with context.candidate() as server:
            yield server, payloads_for(context, params, server)


def _capacity(
    attempt: Attempt, params: Params, server: Served, payloads: tuple[Payload, ...], what: str
) -> float:
    load = ClosedLoop(duration_s=params.capacity_s, warmup_s=min(1.0, params.capacity_s / 3))
    spec = load_spec(params, server, payloads, load, connections=params.capacity_connections)
    return attempt.drive(server, spec, what).report.total.ok_per_s


def _burst(params: Params, context: Context, capacity: float, factor: float) -> OpenLoop:
    normal = capacity * NORMAL
    return OpenLoop(
        phases=(
            Phase("before", normal, params.burst_s),
            Phase("burst", capacity * factor, params.burst_s),
            Phase("recovery", normal, RECOVERY_S),
            Phase("after", normal, params.burst_s),
        ),
        seed=context.seed,
    )


def _metrics(params: Params, report: LoadReport, capacity: float) -> dict[str, float]:
    before, burst, after = (report.phase(name) for name in ("before", "burst", "after"))
    burst_end_s = 2 * params.burst_s
    end_s = burst_end_s + RECOVERY_S + params.burst_s
    return {
        "goodput_ratio": burst.good_per_s / max(1e-9, capacity),
        "latency_ms.p50": burst.latency_ms.p50,
        "latency_ms.p99": burst.latency_ms.p99,
        "refused_rate": burst.refused_rate,
        "failed": report.total.failed,
        "refusals_without_hint": report.total.refusals_without_hint,
        "before.ok_rate": before.ok / max(1, before.offered),
        "before.latency_ms.p99": before.latency_ms.p99,
        "after.ok_rate": after.ok / max(1, after.offered),
        "after.latency_ms.p99": after.latency_ms.p99,
        "recovery_s": back_to_slo_s(
            _whole(report.timeline, end_s), burst_end_s, end_s, params.slo_ms
        ),
    }


def _whole(timeline: tuple[Slice, ...], end_s: float) -> list[Slice]:
    """Slices that lie in the run as a whole."""
    return [one for one in timeline if one.start_s + SLICE_S <= end_s + 1e-9]


def _point(factor: float, report: LoadReport) -> CurvePoint:
    burst = report.phase("burst")
    return CurvePoint(
        x=factor,
        achieved_per_s=burst.good_per_s,
        p50_ms=burst.latency_ms.p50,
        p99_ms=burst.latency_ms.p99,
    )
