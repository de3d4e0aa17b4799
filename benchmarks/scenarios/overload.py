"""Three times what the server can do: does it keep doing what it can?

A model of about 1,000 rows a second, one row a request, Poisson arrivals. Before the burst and
after it half the capacity is offered. Capacity is measured before and after, with as many callers
as keep the model busy; if the two differ by much, others used the machine, and nothing is judged.
Requests are timed from when they were due.
"""

from __future__ import annotations

import statistics

from benchmarks.context import Context
from benchmarks.loadgen.launch import open_loop
from benchmarks.loadgen.spec import OpenResult, Phase
from benchmarks.machine import ForeignLoad
from benchmarks.measure import Samples, load, noise_note, samples_json
from benchmarks.models import FEATURES, SLO_MS, STEADY
from benchmarks.payloads import json_rows
from benchmarks.process import running
from benchmarks.result import Check, Figure, Result
from benchmarks.session import session_loop
from benchmarks.summary import figure

NAME = "overload"
CAPACITY_CONNECTIONS = 32
CONNECTIONS = 512
OVERLOAD = 3.0
NORMAL = 0.5
RECOVERY_S = 2.0
MIN_GOODPUT = 0.90
NORMAL_FACTOR = 2.0
NORMAL_SLACK_MS = 10.0
"""Back to normal: p99 within twice what it was before, and 10 ms for the machine's own jitter."""
MAX_LATE_SHARE = 0.01
MAX_DRIFT = 1.2
ATTEMPTS = 3


def run(context: Context) -> Result:
    """Capacity, then one open-loop run: normal, burst, recovery, normal."""
    repository, model = context.write(STEADY)
    payload = json_rows(STEADY.name, 1, FEATURES)
    seconds = 3.0 * context.round_s
    with running(context.start_penstock(repository)) as server:
        with session_loop(model, threads=1) as loop:
            context.say(f"{NAME}: measuring capacity")
            raw = [loop.measure(16, context.round_s).rows_per_s for _ in range(3)]
        load(context, server, payload, CAPACITY_CONNECTIONS)
        for attempt in range(ATTEMPTS):
            before = [load(context, server, payload, CAPACITY_CONNECTIONS) for _ in range(3)]
            offered = statistics.median(sample.ok_per_s for sample in before)
            context.say(f"{NAME}: {offered * OVERLOAD:.0f} req/s offered")
            foreign, cpu_start_s = ForeignLoad(), server.cpu_s()
            seen = open_loop(
                server.port,
                payload,
                context.folder,
                connections=CONNECTIONS,
                phases=(
                    Phase("before", offered * NORMAL, seconds),
                    Phase("burst", offered * OVERLOAD, seconds),
                    Phase("recovery", offered * NORMAL, RECOVERY_S),
                    Phase("after", offered * NORMAL, seconds),
                ),
                slo_ms=SLO_MS,
                seed=context.seed + attempt,
            )
            foreign_share = foreign.share(server.cpu_s() - cpu_start_s)
            after = [load(context, server, payload, CAPACITY_CONNECTIONS) for _ in range(3)]
            if not (invalid := _invalid(seen, before, after)):
                break
    closed = [*before, *after]
    capacity = statistics.median(sample.ok_per_s for sample in closed)
    return Result(
        NAME,
        _checks(seen, capacity),
        (
            figure("plain loop, one thread", raw, "rows/s"),
            figure("capacity, closed loop", [sample.ok_per_s for sample in closed], "req/s"),
            Figure("offered in the burst", seen.phase("burst").offered / seconds, "req/s"),
            Figure("accepted p50 in the burst", seen.phase("burst").latency_ms.p50, "ms"),
            Figure("refused in the burst", seen.phase("burst").share("503") * 100, "%"),
            Figure("p99 before the burst", seen.phase("before").latency_ms.p99, "ms"),
            Figure("generator lag p99", seen.lag_ms.p99, "ms"),
            Figure("machine used by others", foreign_share * 100, "%"),
        ),
        noise_note(closed),
        invalid=invalid,
        details={"open_loop": seen, **samples_json({"closed": closed})},
    )


def _checks(seen: OpenResult, capacity: float) -> tuple[Check, ...]:
    before, burst, after = (seen.phase(name) for name in ("before", "burst", "after"))
    normal_ms = min(SLO_MS, NORMAL_FACTOR * before.latency_ms.p99 + NORMAL_SLACK_MS)
    answered = before.share("200")
    odd = sum(
        count
        for phase in seen.phases
        for status, count in phase.statuses.items()
        if status not in ("200", "503")
    )
    hints = sum(phase.refusals_without_hint for phase in seen.phases)
    return (
        Check(Figure("goodput / capacity", burst.good_per_s / capacity, "×"), ">=", MIN_GOODPUT),
        Check(Figure("accepted p99 in the burst", burst.latency_ms.p99, "ms"), "<=", SLO_MS),
        Check(Figure("answers other than 200 and 503", odd), "<=", 0),
        Check(Figure("refusals without Retry-After", hints), "<=", 0),
        Check(Figure("answered before the burst", answered * 100, "%"), ">=", 99.0),
        Check(Figure("answered after recovery", after.share("200") * 100, "%"), ">=", 99.0),
        Check(Figure("p99 after recovery", after.latency_ms.p99, "ms"), "<=", normal_ms),
    )


def _invalid(seen: OpenResult, before: Samples, after: Samples) -> str:
    """Why this run says nothing about the server; empty if it does."""
    if seen.late_share > MAX_LATE_SHARE:
        return (
            f"the load generator was late for {seen.late_share:.1%} of the arrivals"
            f" (p99 {seen.lag_ms.p99:.1f} ms): the machine is too busy to measure this"
        )
    rates = [statistics.median(s.ok_per_s for s in samples) for samples in (before, after)]
    if max(rates) > MAX_DRIFT * min(rates):
        return (
            f"capacity was {rates[0]:.0f} req/s before and {rates[1]:.0f} after:"
            " the machine is too busy to measure this"
        )
    return ""
