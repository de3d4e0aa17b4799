"""A new version gets 10, 50, then 100 % of the traffic: is each share kept, is anything lost?

Poisson arrivals at a moderate rate. At first the new version, which is loaded already, has nothing;
then it is given one share after the other on the admin port. Both versions answer every request
otherwise, so each answer tells which of them it is of. A share is looked at from a moment after it
was ordered; what is lost or slow counts all the time.
"""

from __future__ import annotations

import math
import time
from typing import Annotated

from msgspec import Meta

from benchmarks.answers import right_answer
from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.loadgen.histogram import latency, merge
from benchmarks.loadgen.spec import LoadReport, OpenLoop, Phase
from benchmarks.measurement import Measurement
from benchmarks.models import DIVIDED, build_release
from benchmarks.scenarios.params import LoadParams, Seconds, load_spec, own_payloads
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.traffic_admin import TrafficAdmin

NAME = "canary_switch"
BEFORE = "before"
TINY_MS = 1e-3
CANARY = 2
"""The new version."""
METRICS = {
    **LOAD_METRICS,
    "wrong": "Answers that are neither version's.",
    "lost": "Requests neither answered well nor refused, beside the wrong ones.",
    "excluded": "Answers of a version whose share was 0 at the time.",
    "share.{share}": "Part of the answers that was the new version's, at this share in percent.",
    "share_error_sd.{share}": "How far off that is, in standard deviations of chance;"
    " of 100 % see ``excluded``.",
    "share_error_sd.max": "The furthest.",
    "before.latency_ms.p99": "While the new version had nothing.",
    "p99_ratio.{share}": "p99 from the order of this share on, over that.",
    "p99_ratio.max": "The highest.",
    "order_s.max": "Longest from an order until it was confirmed.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which shares, under what load."""

    rate: Annotated[float, Meta(gt=0, description="Requests a second, on average.")] = 1000.0
    shares: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=100)], ...],
        Meta(min_length=1, description="Of the new version, in percent, one after the other."),
    ] = (10, 50, 100)
    before_s: Annotated[Seconds, Meta(description="Load before the first order.")] = 5.0
    settle_s: Annotated[
        Seconds, Meta(description="From an order until the share is looked at.")
    ] = 1.0
    hold_s: Annotated[Seconds, Meta(description="Each share, from then on.")] = 5.0


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(1, _lasts_s(params))


def run(context: Context, params: Params) -> Measurement:
    """One load, some orders."""
    repository, artefact = context.write(DIVIDED)
    new = repository / DIVIDED.name / str(CANARY) / artefact.name
    new.parent.mkdir(exist_ok=True)
    build_release(new, CANARY)
    payloads, old_answers = own_payloads(context, DIVIDED, artefact, params.payloads)
    expected = tuple(
        (old, right_answer(new, payload))
        for payload, (old,) in zip(payloads, old_answers, strict=True)
    )
    phases = [Phase(BEFORE, params.rate, params.before_s)]
    for share in params.shares:
        phases.append(Phase(f"to {share}", params.rate, params.settle_s))
        phases.append(Phase(f"at {share}", params.rate, params.hold_s))
    load = OpenLoop(phases=tuple(phases), seed=context.seed)
    with Attempt(context, NAME, params) as attempt, context.serving(DIVIDED) as server:
        orders = Orders(TrafficAdmin(server, DIVIDED.name), params)
        spec = load_spec(params, server, payloads, load, expected=expected, tell_apart=True)
        driven = attempt.drive(server, spec, "shares change", orders.at)
        if orders.late or len(orders.took_s) < len(params.shares):
            attempt.invalid.append("an order came so late that its share was looked at before it")
        metrics = _metrics(driven.report, params)
        metrics["order_s.max"] = max(orders.took_s, default=_lasts_s(params))
        return attempt.of_load(driven, metrics=metrics)


class Orders:
    """Gives one share after the other while a load is under way."""

    def __init__(self, admin: TrafficAdmin, params: Params) -> None:
        self._admin = admin
        self._params = params
        self._left = list(params.shares)
        self._due_s = params.before_s
        self.took_s: list[float] = []
        """How long each order took until it was confirmed."""
        self.late = False
        """Whether one was confirmed after its share had begun to be looked at."""

    def at(self, part: float) -> None:
        """Told how far the load is."""
        gone_s = part * _lasts_s(self._params)
        if not self._left or gone_s < self._due_s:
            return
        share = self._left.pop(0)
        start_s = time.monotonic()
        self._admin.split({"stable": 100 - share, "canary": share})
        self.took_s.append(time.monotonic() - start_s)
        self.late |= gone_s + self.took_s[-1] > self._due_s + self._params.settle_s
        self._due_s += self._params.settle_s + self._params.hold_s


def share_error_sd(answers: int, of: int, share: float) -> float:
    """How far ``answers`` of ``of`` are from a share (above 0, below 1), in standard deviations."""
    return abs(answers - of * share) / math.sqrt(max(1, of) * share * (1 - share))


def _lasts_s(params: Params) -> float:
    return params.before_s + len(params.shares) * (params.settle_s + params.hold_s)


def _metrics(report: LoadReport, params: Params) -> dict[str, float]:
    before = report.phase(BEFORE)
    excluded = before.answers(1)
    metrics, errors_sd, ratios = {}, [0.0], []
    for share in params.shares:
        at = report.phase(f"at {share}")
        answered = at.answers(0) + at.answers(1)
        metrics[f"share.{share}"] = at.answers(1) / max(1, answered)
        if share == 100:
            excluded += at.answers(0)
        else:
            errors_sd.append(share_error_sd(at.answers(1), answered, share / 100))
            metrics[f"share_error_sd.{share}"] = errors_sd[-1]
        with_order = merge([report.phase(f"to {share}").histogram, at.histogram])
        ratios.append(latency(with_order).p99 / max(TINY_MS, before.latency_ms.p99))
        metrics[f"p99_ratio.{share}"] = ratios[-1]
    return {
        **metrics,
        "wrong": report.total.wrong,
        "lost": report.total.failed - report.total.wrong,
        "excluded": excluded,
        "share_error_sd.max": max(errors_sd),
        "before.latency_ms.p99": before.latency_ms.p99,
        "p99_ratio.max": max(ratios),
    }
