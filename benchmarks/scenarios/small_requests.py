"""Small requests: what everything around the model costs, against a server with nothing around it.

One JSON row of 30 features against an MLP that takes microseconds. Throughput is both servers'
limit at 8, 64 and 256 connections; CPU per request is the figure that neighbours on the machine
disturb least. In the rounds, the baseline is the bare floor (``benchmarks.floor``).
"""

from __future__ import annotations

from benchmarks.answers import same_answers
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measurement import Measurement
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import json_rows
from benchmarks.process import running
from benchmarks.scenarios.levels import (
    Level,
    LevelParams,
    compared,
    curve_of,
    planned_s,
    rounds_of,
    take_levels,
)
from benchmarks.subject import served

__all__ = ["METRICS", "NAME", "Params", "planned_s", "run"]

NAME = "small_requests"
SHOWN = ("rate_per_s.ok", "latency_ms.p99", "server_cpu_us_per_req")
METRICS = {
    "at_{level}.throughput_ratio": "Median of good answers a second, server / floor.",
    "at_{level}.cpu_ratio": "Median of CPU per request, server / floor.",
    "at_{level}.cpu_ratio.low": "Lower end of its 95 % interval.",
    "at_{level}.cpu_ratio.high": "Upper end.",
    **{f"at_{{level}}.{name}": "Server's median." for name in SHOWN},
    **{f"at_{{level}}.floor.{name}": "Floor's median." for name in SHOWN},
    "error_rate": "Part of all requests, of both, that failed.",
}


class Params(LevelParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers."""


def run(context: Context, params: Params) -> Measurement:
    """Floor and server turn by turn, one number of connections after the other."""
    _, model = context.write(SMALL)
    payload = json_rows(SMALL.name, 1, FEATURES)
    with (
        Attempt(context, NAME, params) as attempt,
        running(context.start_floor(model)) as floor,
        context.serving(SMALL) as server,
    ):
        assert server.process is not None
        same_answers(floor, server.process, payload)
        levels = take_levels(
            attempt, params, (server, payload), {"floor": (served(floor), payload)}
        )
        return attempt.measurement(
            compared(levels, _compare),
            rounds=rounds_of(levels),
            curve=curve_of(levels),
            curve_axis="connections",
        )


def _compare(level: Level) -> dict[str, float]:
    return {
        f"{level.at}throughput_ratio": level.ratio("rate_per_s.ok", "floor"),
        **level.interval("cpu_ratio", "server_cpu_us_per_req", "floor"),
        **level.medians(SHOWN),
    }
