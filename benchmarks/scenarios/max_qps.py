"""The highest rate at which the SLO is kept.

A closed loop of a second or two says where to look. Search: open-loop probes of some seconds, from
seven tenths of its rate in growing steps until one is missed, then between the highest kept and
the lowest missed; a rate is missed only if two of three probes say so, and probes that missed on a
noisy machine are taken again. A probe is given up as soon as it is certain to be missed.
Confirmation: one long load at the rate found, and up to twice a step less where that is missed.
Only a confirmed rate is an answer. All of it is over within a budget; without an answer by then,
the attempt is inconclusive, and says between which rates the answer lies. The metrics of a load,
the histogram and the timeline are those of the confirmation.
"""

from __future__ import annotations

import time
from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt, Driven
from benchmarks.context import Context
from benchmarks.loadgen.health import PERCENTILE, enough_requests
from benchmarks.loadgen.profiles import steady
from benchmarks.loadgen.spec import Bounds, ClosedLoop, OpenLoop
from benchmarks.measurement import CurvePoint, Measurement
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.search import RateSearch, Seen, Step
from benchmarks.subject import Served

NAME = "max_qps"
METRICS = {
    "max_qps_per_s": "The confirmed rate; 0 if none was.",
    "max_qps_per_s.searched": "The highest rate kept by a short probe.",
    "max_qps_per_s.missed": "The lowest rate missed; left out if none was.",
    "closed_loop_per_s": "Good answers a second of the closed loop at the beginning.",
    "probes": "Probes that it took.",
    "generator_limited": "1: the generator could send no more, so that it is at least this.",
    **LOAD_METRICS,
}
DOING = {"search": "probing", "confirm": "confirming"}
MORE_THAN_ENOUGH = 1.2
FIRST = 0.7
"""Of the closed loop's rate, which an open loop seldom reaches."""
GRACE_S = 2.0
VERDICTS: dict[Seen, Literal["kept", "missed", "invalid"]] = {
    "kept": "kept",
    "missed": "missed",
    "noisy": "invalid",
    "undrivable": "invalid",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to look, how closely, and for how long."""

    start_rate: Annotated[
        float, Meta(ge=0, description="Rate of the first probe. 0: 0.7 of what a closed loop gets.")
    ] = 0.0
    estimate_s: Annotated[float, Meta(gt=0, description="Closed loop that says where to look.")] = (
        1.5
    )
    highest_rate: Annotated[float, Meta(gt=0, description="No rate above it is tried.")] = 100_000.0
    growth: Annotated[float, Meta(gt=1, description="Step from one probe to the next.")] = 1.4
    precision: Annotated[
        float, Meta(gt=0, lt=1, description="How close to the lowest missed rate is enough.")
    ] = 0.05
    probe_s: Annotated[
        float, Meta(gt=0, description="Load of a probe; more where a p99 needs it.")
    ] = 4.0
    confirm_s: Annotated[float, Meta(gt=0, description="Load of the confirmation.")] = 30.0
    confirm_tries: Annotated[
        int, Meta(ge=1, description="Rates tried for it; lower by `precision` after each miss.")
    ] = 3
    budget_s: Annotated[
        float, Meta(gt=0, description="Within this all is over, with an answer or without.")
    ] = 120.0
    warmup_s: Annotated[float, Meta(ge=0, description="Load before each that is not counted.")] = (
        1.0
    )
    max_bad_share: Annotated[
        float, Meta(ge=0, lt=1, description="Part that may be refused or fail at a rate kept.")
    ] = 0.001
    noisy_retries: Annotated[
        int, Meta(ge=0, description="Loads a rate that are taken again for noise.")
    ] = 2
    connections: Annotated[int, Meta(ge=1, description="Most requests under way at once.")] = 256


def planned_s(params: Params) -> float:
    """At most; less where the machine is quiet."""
    return params.budget_s


def run(context: Context, params: Params) -> Measurement:
    """Estimate, search, confirm."""
    until_s = time.perf_counter() + params.budget_s
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        prober = Prober(attempt, context, params, server)
        closed_per_s = prober.estimate()
        search = RateSearch(
            start=params.start_rate or max(1.0, closed_per_s * FIRST),
            budget_s=until_s,
            growth=params.growth,
            precision=params.precision,
            highest=params.highest_rate,
            noisy_retries=params.noisy_retries,
            probe_s=params.probe_s,
            confirm_s=params.confirm_s,
            confirm_tries=params.confirm_tries,
            warmup_s=params.warmup_s,
            least_requests=MORE_THAN_ENOUGH * enough_requests(),
        )
        while (step := search.next_step(time.perf_counter())) is not None:
            search.record(prober.load(step))
        if prober.shown is None:
            attempt.inconclusive.append(f"{params.budget_s:g} s are too short for a single probe")
            return attempt.measurement({"closed_loop_per_s": closed_per_s, "probes": 0.0})
        if search.is_generator_limited:
            attempt.note(
                f"the generator could not send {search.missed:,.0f} requests/s honestly:"
                " the server may do more than it was asked for"
            )
        why = _unanswered(params, search)
        if not prober.was_quiet and not search.confirmed:
            attempt.invalid.append(f"{why or 'no rate was kept'}, and the machine was not quiet")
        elif why:
            attempt.inconclusive.append(why)
        metrics = {
            "max_qps_per_s": search.confirmed,
            "max_qps_per_s.searched": search.kept,
            "closed_loop_per_s": closed_per_s,
            "probes": len(prober.curve),
            "generator_limited": float(search.is_generator_limited),
        }
        if search.missed < float("inf"):
            metrics["max_qps_per_s.missed"] = search.missed
        curve = sorted(prober.curve, key=lambda point: point.x)
        return attempt.of_load(prober.shown, metrics=metrics, curve=tuple(curve))


def _unanswered(params: Params, search: RateSearch) -> str:
    """Why there is no answer, and where it lies; empty if there is one."""
    low = f"{search.kept:,.0f}" if search.kept else "0"
    high = f"{search.missed:,.0f}" if search.missed < float("inf") else "more"
    if search.ended == "out of time":
        return f"no answer within {params.budget_s:g} s: between {low} and {high} requests/s"
    if search.ended == "unconfirmed":
        return (
            f"{low} requests/s were kept by a probe, but neither they nor"
            f" {(1 - params.precision) ** (params.confirm_tries - 1):.0%} of them for"
            f" {params.confirm_s:g} s"
        )
    return ""


class Prober:
    """Loads at one rate after the other."""

    def __init__(self, attempt: Attempt, context: Context, params: Params, server: Served) -> None:
        self._attempt = attempt
        self._params = params
        self._server = server
        self._seed = context.seed
        self._payloads = payloads_for(context, params, server)
        self._bounds = Bounds(slow_share=1 - PERCENTILE, bad_share=params.max_bad_share)
        self.curve: list[CurvePoint] = []
        self.shown: Driven | None = None
        """The last load that was kept; the last one while none was."""
        self.was_quiet = True
        """Whether the machine was during the last load."""

    def estimate(self) -> float:
        """Good answers a second of a short closed loop."""
        load = ClosedLoop(duration_s=self._params.estimate_s, warmup_s=self._params.estimate_s / 3)
        spec = load_spec(self._params, self._server, self._payloads, load)
        return self._attempt.drive(self._server, spec, "estimating").report.total.ok_per_s

    def load(self, step: Step) -> Seen:
        """One load, and what it has shown. Each has arrivals of its own."""
        warmup_s = self._params.warmup_s
        load = OpenLoop(
            phases=steady(step.rate, step.lasts_s - warmup_s, warmup_s),
            seed=self._seed + len(self.curve),
            give_up=self._bounds,
        )
        spec = load_spec(self._params, self._server, self._payloads, load, grace_s=GRACE_S)
        what = f"{DOING[step.stage]} {step.rate:,.0f}/s (load {len(self.curve) + 1})"
        driven = self._attempt.drive(self._server, spec, what)
        seen, total = judge(self._params, driven), driven.report.total
        if seen == "kept" or self.shown is None or judge(self._params, self.shown) != "kept":
            self.shown = driven
        self.was_quiet = driven.quiet
        self.curve.append(
            CurvePoint(
                x=round(step.rate, 1),
                achieved_per_s=total.ok_per_s,
                p50_ms=total.latency_ms.p50,
                p99_ms=total.latency_ms.p99,
                verdict=VERDICTS[seen],
            )
        )
        return seen


def judge(params: Params, driven: Driven) -> Seen:
    """Whether a load was kept: p99 within the SLO, and next to nothing refused or failed."""
    report, total = driven.report, driven.report.total
    if report.health.reasons:
        return "undrivable" if driven.quiet else "noisy"
    bad = total.offered - total.ok
    within = total.latency_ms.p99 <= params.slo_ms and bad <= params.max_bad_share * total.offered
    if within and not report.given_up:
        return "kept"
    return "missed" if driven.quiet else "noisy"
