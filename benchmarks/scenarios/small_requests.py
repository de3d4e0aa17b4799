"""Small requests: what everything around the model costs, against a server with nothing around it.

One JSON row of 30 features against an MLP that takes microseconds. Throughput is both servers'
limit at 8, 64 and 256 connections; CPU per request is the figure that neighbours on the machine
disturb least. In the rounds, the baseline is the bare floor (``benchmarks.floor``).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from benchmarks.answers import same_answers
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measure import interleave
from benchmarks.measurement import CurvePoint, Measurement, Round
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import json_rows
from benchmarks.process import running
from benchmarks.scenarios.params import Count
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, curve_point, error_rate, loader, pairs
from benchmarks.subject import served
from benchmarks.summary import medians, ratio

NAME = "small_requests"
METRICS = {
    "at_{level}.throughput_ratio": "Median of good answers a second, server / floor.",
    "at_{level}.cpu_ratio": "Median of CPU per request, server / floor.",
    "at_{level}.cpu_ratio.low": "Lower end of its 95 % interval.",
    "at_{level}.cpu_ratio.high": "Upper end.",
    "at_{level}.rate_per_s.ok": "Server's median.",
    "at_{level}.latency_ms.p99": "Server's median.",
    "at_{level}.server_cpu_us_per_req": "Server's median.",
    "at_{level}.floor.rate_per_s.ok": "Floor's median.",
    "at_{level}.floor.server_cpu_us_per_req": "Floor's median.",
    "error_rate": "Part of all requests, of both, that failed.",
}


class Params(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers."""

    levels: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Numbers of connections.")
    ] = (8, 64, 256)


def planned_s(params: Params) -> float:
    """About how long it takes."""
    loads = 2 * len(params.levels) * (params.rounds + 1)
    return 2 * SERVER_S + loads_s(loads, params.round_s)


def run(context: Context, params: Params) -> Measurement:
    """Floor and server turn by turn, one number of connections after the other."""
    _, model = context.write(SMALL)
    payload = json_rows(SMALL.name, 1, FEATURES)
    metrics: dict[str, float] = {}
    rounds: list[Round] = []
    curve: list[CurvePoint] = []
    every: list[Seen] = []
    with (
        Attempt(context, NAME, params) as attempt,
        running(context.start_floor(model)) as floor,
        context.serving(SMALL) as server,
    ):
        assert server.process is not None
        same_answers(floor, server.process, payload)
        for level in params.levels:
            what = f"{level} connections"
            taken = interleave(
                {
                    "floor": loader(attempt, params, served(floor), payload, level, what),
                    "server": loader(attempt, params, server, payload, level, what),
                },
                params.rounds,
            )
            at = f"at_{level}."
            metrics |= _compare(taken["server"], taken["floor"], at)
            rounds += pairs(taken["server"], taken["floor"], at)
            curve.append(curve_point(level, taken["server"]))
            every += [*taken["server"], *taken["floor"]]
        metrics["error_rate"] = error_rate(every)
        return attempt.measurement(
            metrics, rounds=tuple(rounds), curve=tuple(curve), curve_axis="connections"
        )


def _compare(server: list[Seen], floor: list[Seen], at: str) -> dict[str, float]:
    def both(name: str) -> tuple[list[float], list[float]]:
        return [one[name] for one in server], [one[name] for one in floor]

    cpu = ratio(*both("server_cpu_us_per_req"))
    shown = medians(server, at) | medians(floor, f"{at}floor.")
    wanted = {name.replace("at_{level}.", at) for name in METRICS}
    return {
        f"{at}throughput_ratio": ratio(*both("rate_per_s.ok")).median,
        f"{at}cpu_ratio": cpu.median,
        f"{at}cpu_ratio.low": cpu.low,
        f"{at}cpu_ratio.high": cpu.high,
        **{name: value for name, value in shown.items() if name in wanted},
    }
