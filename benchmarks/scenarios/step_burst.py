"""Five times the load from one second to the next, and back: how soon is the SLO kept again?

Poisson arrivals at a base rate, at a multiple of it, and at the base rate again. Unlike
``overload`` the burst is within what the server can do; what shows is how it takes the change.

``use: elastic`` has a benchmark model whose replicas may be two, if the server has such: they are
to follow the load up and down, and answers are compared with those of ONNX Runtime.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.inputs.signature import fetch
from benchmarks.loadgen.spec import OpenLoop, Phase
from benchmarks.measurement import Measurement
from benchmarks.models import ELASTIC
from benchmarks.payloads import Payload
from benchmarks.scenarios.params import LoadParams, load_spec, own_payloads, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.timeline import back_to_slo_s
from benchmarks.server_status import replicas_of
from benchmarks.subject import Served, UnsupportedError

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
    "wrong": "Answers that are not ONNX Runtime's, of the benchmark model.",
    "lost": "Requests neither answered well nor refused, over the whole load.",
    "replicas.{phase}.first": "Replicas ready at the beginning of a phase; 0: it has none.",
    "replicas.{phase}.most": "Most in it.",
    "replicas.{phase}.last": "At its end.",
}
PHASES = ("before", "burst", "after")


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How high a step."""

    use: Annotated[
        Literal["served", "elastic"],
        Meta(description="`served`: the run's own model. `elastic`: the benchmark model."),
    ] = "served"
    rate: Annotated[float, Meta(gt=0, description="Requests a second before and after.")] = 300.0
    factor: Annotated[float, Meta(gt=1, description="Times as many in the burst.")] = 5.0
    normal_s: Annotated[float, Meta(gt=0, description="Base rate before, and after.")] = 10.0
    after_s: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="Base rate after, if not as long.")
    ] = None
    burst_s: Annotated[float, Meta(gt=0, description="Length of the burst.")] = 10.0
    warmup_s: Annotated[float, Meta(ge=0, description="Base rate before all that.")] = 2.0
    connections: Annotated[int, Meta(ge=1, description="Most requests under way at once.")] = 256


def planned_s(params: Params) -> float:
    """About how long it takes."""
    lasts_s = params.warmup_s + params.normal_s + params.burst_s + _after_s(params)
    return SERVER_S + loads_s(1, lasts_s)


def run(context: Context, params: Params) -> Measurement:
    """One load of three steps."""
    phases = [
        Phase("before", params.rate, params.normal_s),
        Phase("burst", params.rate * params.factor, params.burst_s),
        Phase("after", params.rate, _after_s(params)),
    ]
    if params.warmup_s:
        phases.insert(0, Phase("warmup", params.rate, params.warmup_s, measured=False))
    with (
        Attempt(context, NAME, params) as attempt,
        _served(context, params) as (
            server,
            payloads,
            checks,
        ),
    ):
        load = OpenLoop(phases=tuple(phases), seed=context.seed)
        spec = load_spec(params, server, payloads, load, slice_s=SLICE_S, **checks)
        model = ELASTIC.name if checks else fetch(server, params.model or context.model).name
        watcher = Watcher(server, model, params)
        what = f"{params.rate:,.0f}/s, {params.factor:g} times as many, and back"
        driven = attempt.drive(server, spec, what, watcher.at)
        before, burst, after = (driven.report.phase(name) for name in ("before", "burst", "after"))
        burst_s = params.warmup_s + params.normal_s
        after_s = burst_s + params.burst_s
        end_s = after_s + _after_s(params)
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
                "recovery_s": back_to_slo_s(timeline, after_s, end_s, slo_ms),
                "wrong": driven.report.total.wrong,
                "lost": driven.report.total.failed - driven.report.total.wrong,
                **watcher.metrics(),
            },
        )


class Watcher:
    """Counts the replicas while a load is under way."""

    def __init__(self, server: Served, model: str, params: Params) -> None:
        self._server = server
        self._model = model
        self._ends_s = (
            params.warmup_s + params.normal_s,
            params.warmup_s + params.normal_s + params.burst_s,
            params.warmup_s + params.normal_s + params.burst_s + _after_s(params),
        )
        self._seen: dict[str, list[int]] = defaultdict(list)
        self._has_replicas = self._count() is not None

    def at(self, part: float) -> None:
        """Told how far the load is."""
        now_s = part * self._ends_s[-1]
        phase = next((p for p, end in zip(PHASES, self._ends_s, strict=True) if now_s < end), None)
        if self._has_replicas and phase is not None:
            self._seen[phase].append(self._count() or 0)

    def metrics(self) -> dict[str, float]:
        """What was seen."""
        found: dict[str, float] = {}
        for phase in PHASES:
            counts = self._seen[phase] or [0]
            found[f"replicas.{phase}.first"] = counts[0]
            found[f"replicas.{phase}.most"] = max(counts)
            found[f"replicas.{phase}.last"] = counts[-1]
        return found

    def _count(self) -> int | None:
        try:
            return len(replicas_of(self._server, self._model))
        except UnsupportedError:
            return None


@contextlib.contextmanager
def _served(
    context: Context, params: Params
) -> Iterator[tuple[Served, tuple[Payload, ...], dict[str, Any]]]:
    """The server, the requests, and with the benchmark model what the answers are to be."""
    if params.use == "served":
        with context.candidate() as server:
            yield server, payloads_for(context, params, server), {}
        return
    with context.serving(ELASTIC) as server:
        # As it was built for the server: to build it again would make another model.
        artefact = context.folder / f"repository-{ELASTIC.name}" / ELASTIC.name / "1/model.onnx"
        payloads, expected = own_payloads(context, ELASTIC, artefact, params.payloads)
        yield server, payloads, {"expected": expected}


def _after_s(params: Params) -> float:
    return params.normal_s if params.after_s is None else params.after_s
