"""Requests of 1 to 256 rows, as JSON and in binary: what does a row cost, and how many are served?

A closed loop of few callers at each size. The curve is that of the last encoding; its rate is in
rows a second.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from benchmarks.attempt import Attempt, Driven
from benchmarks.context import Context
from benchmarks.inputs.encode import Encoding
from benchmarks.loadgen.spec import ClosedLoop
from benchmarks.measurement import CurvePoint, Measurement
from benchmarks.scenarios.params import Count, LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s

NAME = "batch_sweep"
METRICS = {
    "{encoding}_{rows}.rows_per_s": "Rows answered well a second.",
    "{encoding}_{rows}.server_cpu_us_per_row": "CPU a row.",
    "{encoding}_{rows}.latency_ms.p50": "Latency of a request.",
    "{encoding}_{rows}.latency_ms.p99": "Latency of a request.",
    "{encoding}_{rows}.error_rate": "Part neither answered well nor refused.",
    "{encoding}.rows_per_s.best": "Most rows a second over the sizes.",
    "{encoding}.server_cpu_us_per_row.best": "Least CPU a row over the sizes.",
    "error_rate": "The worst over all of them.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sizes."""

    sizes: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Rows a request, in place of `rows`.")
    ] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    encodings: Annotated[
        tuple[Encoding, ...],
        Meta(min_length=1, description="In place of `encoding`; gRPC is binary whatever it says."),
    ] = ("json", "binary")
    duration_s: Annotated[float, Meta(gt=0, description="Load that counts, a size.")] = 3.0
    warmup_s: Annotated[float, Meta(ge=0, description="Load before it.")] = 0.5
    connections: Annotated[int, Meta(ge=1, description="Callers at once.")] = 8
    payloads: Annotated[int, Meta(ge=1, description="Different requests, sent in turn.")] = 8


def planned_s(params: Params) -> float:
    """About how long it takes."""
    encodings = params.encodings if params.protocol == "http" else ("binary",)
    loads = len(encodings) * len(params.sizes)
    return SERVER_S + loads_s(loads, params.warmup_s + params.duration_s)


def run(context: Context, params: Params) -> Measurement:
    """One load a size and encoding."""
    metrics: dict[str, float] = {}
    curve: list[CurvePoint] = []
    load = ClosedLoop(duration_s=params.duration_s, warmup_s=params.warmup_s)
    encodings: tuple[Encoding, ...] = params.encodings if params.protocol == "http" else ("binary",)
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        for encoding in encodings:
            curve.clear()
            seen: list[dict[str, float]] = []
            for rows in params.sizes:
                payloads = payloads_for(context, params, server, rows=rows, encoding=encoding)
                what = f"{encoding}, {rows} rows"
                driven = attempt.drive(server, load_spec(params, server, payloads, load), what)
                attempt.invalid += [f"{what}: {why}" for why in driven.report.health.reasons]
                seen.append(_metrics(driven, rows))
                metrics |= {f"{encoding}_{rows}.{name}": one for name, one in seen[-1].items()}
                curve.append(
                    CurvePoint(
                        x=rows,
                        achieved_per_s=seen[-1]["rows_per_s"],
                        p50_ms=seen[-1]["latency_ms.p50"],
                        p99_ms=seen[-1]["latency_ms.p99"],
                    )
                )
            metrics[f"{encoding}.rows_per_s.best"] = max(one["rows_per_s"] for one in seen)
            if cpu := [
                one["server_cpu_us_per_row"] for one in seen if "server_cpu_us_per_row" in one
            ]:
                metrics[f"{encoding}.server_cpu_us_per_row.best"] = min(cpu)
        metrics["error_rate"] = max(
            value for name, value in metrics.items() if name.endswith(".error_rate")
        )
        return attempt.measurement(metrics, curve=tuple(curve), curve_axis="rows a request")


def _metrics(driven: Driven, rows: int) -> dict[str, float]:
    total = driven.report.total
    metrics = {
        "rows_per_s": total.ok_per_s * rows,
        "latency_ms.p50": total.latency_ms.p50,
        "latency_ms.p99": total.latency_ms.p99,
        "error_rate": total.error_rate,
    }
    if "server_cpu_us_per_req" in driven.metrics:
        metrics["server_cpu_us_per_row"] = driven.metrics["server_cpu_us_per_req"] / rows
    return metrics
