"""The highest rate at which the SLO is kept.

Two stages. Search: open-loop probes of some seconds, at rates that double until one is missed, then
between the highest kept and the lowest missed; a rate is missed only if two of three probes say so,
and probes that missed on a noisy machine are taken again. Confirmation: one long load at the rate
found, and at less and less as long as that is missed. Only a confirmed rate is an answer. The
metrics of a load, the histogram and the timeline are those of the confirmation.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt, Driven
from benchmarks.context import Context
from benchmarks.loadgen.health import enough_requests
from benchmarks.loadgen.profiles import steady
from benchmarks.loadgen.spec import OpenLoop
from benchmarks.measurement import CurvePoint, Measurement
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.search import RateSearch, Seen
from benchmarks.subject import Served

NAME = "max_qps"
METRICS = {
    "max_qps_per_s": "The confirmed rate; 0 if none was.",
    "max_qps_per_s.searched": "The highest rate kept by a short probe.",
    "max_qps_per_s.missed": "The lowest rate missed; left out if none was.",
    "probes": "Probes that it took.",
    "generator_limited": "1: the generator could send no more, so that it is at least this.",
    **LOAD_METRICS,
}


VERDICTS: dict[Seen, Literal["kept", "missed", "invalid"]] = {
    "kept": "kept",
    "missed": "missed",
    "noisy": "invalid",
    "undrivable": "invalid",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to look, and how closely."""

    start_rate: Annotated[float, Meta(gt=0, description="Rate of the first probe.")] = 500.0
    highest_rate: Annotated[float, Meta(gt=0, description="No rate above it is tried.")] = 100_000.0
    growth: Annotated[float, Meta(gt=1, description="Step from one probe to the next.")] = 2.0
    precision: Annotated[
        float, Meta(gt=0, lt=1, description="How close to the lowest missed rate is enough.")
    ] = 0.05
    probe_s: Annotated[
        float, Meta(gt=0, description="Load of a probe; more where a p99 needs it.")
    ] = 4.0
    confirm_s: Annotated[float, Meta(gt=0, description="Load of the confirmation.")] = 30.0
    confirm_tries: Annotated[
        int,
        Meta(ge=1, description="Loads tried for it; lower after each miss, by steps that double."),
    ] = 8
    warmup_s: Annotated[float, Meta(ge=0, description="Load before each that is not counted.")] = (
        1.0
    )
    max_bad_share: Annotated[
        float, Meta(ge=0, lt=1, description="Part that may be refused or fail at a rate kept.")
    ] = 0.001
    noisy_retries: Annotated[
        int, Meta(ge=0, description="Probes a rate that are taken again for noise.")
    ] = 3
    connections: Annotated[int, Meta(ge=1, description="Most requests under way at once.")] = 256


def run(context: Context, params: Params) -> Measurement:
    """Search, then confirm."""
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        prober = Prober(attempt, context, params, server)
        search = RateSearch(
            start=params.start_rate,
            growth=params.growth,
            precision=params.precision,
            highest=params.highest_rate,
            noisy_retries=params.noisy_retries,
        )
        driven: Driven | None = None
        while (rate := search.next_rate()) is not None:
            driven, seen = prober.probe(rate, params.probe_s, "probing")
            search.record(seen)
        assert driven is not None
        confirmed, rate, noisy, step = 0.0, search.kept, 0, params.precision
        for _ in range(params.confirm_tries if search.kept else 0):
            driven, seen = prober.probe(rate, params.confirm_s, "confirming")
            if seen == "kept":
                confirmed = rate
                break
            if seen == "noisy" and noisy < params.noisy_retries:
                noisy += 1  # once more, at the same rate
            else:
                rate, noisy, step = rate * (1 - step), 0, min(0.5, step * 2)
        if search.is_generator_limited:
            attempt.note(
                f"the generator could not send {search.missed:,.0f} requests/s honestly:"
                " the server may do more than it was asked for"
            )
        if not confirmed and not driven.quiet:
            attempt.invalid.append("no rate was confirmed, and the machine was not quiet")
        metrics = {
            "max_qps_per_s": confirmed,
            "max_qps_per_s.searched": search.kept,
            "probes": len(prober.curve),
            "generator_limited": float(search.is_generator_limited),
        }
        if search.missed < float("inf"):
            metrics["max_qps_per_s.missed"] = search.missed
        curve = sorted(prober.curve, key=lambda point: point.x)
        return attempt.of_load(driven, metrics=metrics, curve=tuple(curve))


class Prober:
    """Loads at one rate after the other."""

    def __init__(self, attempt: Attempt, context: Context, params: Params, server: Served) -> None:
        self._attempt = attempt
        self._params = params
        self._server = server
        self._seed = context.seed
        self._payloads = payloads_for(context, params, server)
        self.curve: list[CurvePoint] = []

    def probe(self, rate: float, duration_s: float, doing: str) -> tuple[Driven, Seen]:
        """One load, and what it has shown; longer where a p99 takes more requests than that."""
        lasts_s = max(duration_s, 1.2 * enough_requests() / rate)
        phases = steady(rate, lasts_s, self._params.warmup_s)
        spec = load_spec(
            *(self._params, self._server, self._payloads),
            OpenLoop(phases=phases, seed=self._seed),
        )
        what = f"{doing} {rate:,.0f}/s (load {len(self.curve) + 1})"
        driven = self._attempt.drive(self._server, spec, what)
        seen, total = judge(self._params, driven), driven.report.total
        self.curve.append(
            CurvePoint(
                x=round(rate, 1),
                achieved_per_s=total.ok_per_s,
                p50_ms=total.latency_ms.p50,
                p99_ms=total.latency_ms.p99,
                verdict=VERDICTS[seen],
            )
        )
        return driven, seen


def judge(params: Params, driven: Driven) -> Seen:
    """Whether a load was kept: p99 within the SLO, and next to nothing refused or failed."""
    total = driven.report.total
    if driven.report.health.reasons:
        return "undrivable" if driven.quiet else "noisy"
    bad = total.offered - total.ok
    if total.latency_ms.p99 <= params.slo_ms and bad <= params.max_bad_share * total.offered:
        return "kept"
    return "missed" if driven.quiet else "noisy"
