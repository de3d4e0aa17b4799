"""Small requests: what everything around the model costs, against a server with nothing around it.

One JSON row of 30 features against an MLP that takes microseconds. Throughput is both servers'
limit at 8, 64 and 256 connections; CPU per request is the figure that neighbours on the machine
disturb least.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.answers import same_answers
from benchmarks.context import Context
from benchmarks.measure import Sample, interleave, load, noise_note, samples_json
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import Payload, json_rows
from benchmarks.process import Server, running
from benchmarks.result import Check, Figure, Result
from benchmarks.summary import figure, ratio

NAME = "small_requests"
CONNECTIONS = (8, 64, 256)
CPU_CONNECTIONS = 64
MIN_THROUGHPUT = 0.65
MAX_CPU = 1.6


def run(context: Context) -> Result:
    """Floor and server turn by turn, one number of connections after the other."""
    repository, model = context.write(SMALL)
    payload = json_rows(SMALL.name, 1, FEATURES)
    checks: list[Check] = []
    figures: list[Figure] = []
    details: dict[str, object] = {"request_bytes": len(payload.body)}
    every: list[Sample] = []
    with (
        running(context.start_floor(model)) as floor,
        running(context.start_penstock(repository)) as server,
    ):
        same_answers(floor, server, payload)
        for connections in CONNECTIONS:
            context.say(f"{NAME}: {connections} connections")
            taken = interleave(
                {one.name: _round(context, one, payload, connections) for one in (floor, server)},
                context.rounds,
            )
            details[f"connections_{connections}"] = samples_json(taken)
            every += [sample for samples in taken.values() for sample in samples]
            low, high = taken["floor"], taken["penstock"]
            at = f"at {connections} connections"
            for name, samples in taken.items():
                figures += [
                    figure(f"{name} {at}", [s.ok_per_s for s in samples], "req/s"),
                    figure(f"{name} p99 {at}", [s.p99_ms for s in samples], "ms"),
                    figure(f"{name} CPU {at}", [s.cpu_us for s in samples], "µs/req"),
                ]
            throughput = ratio(
                f"throughput {at}, server / floor",
                [s.ok_per_s for s in high],
                [s.ok_per_s for s in low],
            )
            cpu = ratio(
                f"CPU per request {at}, server / floor",
                [s.cpu_us for s in high],
                [s.cpu_us for s in low],
            )
            checks.append(Check(throughput, ">=", MIN_THROUGHPUT))
            if connections == CPU_CONNECTIONS:
                checks.append(Check(cpu, "<=", MAX_CPU))
            else:
                figures.append(cpu)
    failed = Figure("requests that failed", sum(sample.failed for sample in every))
    checks.append(Check(failed, "<=", 0))
    return Result(NAME, tuple(checks), tuple(figures), noise_note(every), details=details)


def _round(
    context: Context, server: Server, payload: Payload, connections: int
) -> Callable[[], Sample]:
    return lambda: load(context, server, payload, connections)
