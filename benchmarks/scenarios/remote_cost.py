"""Models in replicas: what does it cost that a batch crosses to another process?

The same server twice, turn by turn: with the model in its own process, and with the model in a
replica (``flags``, by default ``--ray``). One JSON row of 30 features against a network that takes
microseconds, at 8, 64 and 256 connections, so that nothing but the way there and back is seen. Both
servers, both of their processes and the generator share the machine's cores.

In the rounds the candidate has replicas, and the baseline is the server that has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from msgspec import Meta

from benchmarks.answers import same_answers
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measurement import Measurement
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import json_rows
from benchmarks.scenarios.levels import (
    Level,
    LevelParams,
    compared,
    curve_of,
    planned_s,
    rounds_of,
    take_levels,
)
from benchmarks.server_status import replicas_of

__all__ = ["METRICS", "NAME", "Params", "planned_s", "run"]

NAME = "remote_cost"
PLAIN = "in_process"
SHOWN = ("rate_per_s.ok", "latency_ms.p50", "latency_ms.p99", "server_cpu_us_per_req")
METRICS = {
    "at_{level}.throughput_ratio": "Median of good answers a second, with replicas / without.",
    "at_{level}.throughput_ratio.low": "Lower end of its 95 % interval.",
    "at_{level}.throughput_ratio.high": "Upper end.",
    **{f"at_{{level}}.{name}": "Median, with replicas." for name in SHOWN},
    **{f"at_{{level}}.{PLAIN}.{name}": "Median, without." for name in SHOWN},
    "error_rate": "Part of all requests, of both, that failed.",
}


class Params(LevelParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers, and of what."""

    flags: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Flags with which it has replicas.")
    ] = ("--ray",)


def run(context: Context, params: Params) -> Measurement:
    """Without and with replicas turn by turn, one number of connections after the other."""
    payload = json_rows(SMALL.name, 1, FEATURES)
    elsewhere = replace(context, folder=context.folder / "remote")
    with (
        Attempt(context, NAME, params) as attempt,
        context.serving(SMALL) as plain,
        elsewhere.serving(SMALL, params.flags) as remote,
    ):
        replicas_of(remote, SMALL.name)  # it has some, or is no such server
        assert plain.process is not None and remote.process is not None
        same_answers(plain.process, remote.process, payload)
        levels = take_levels(attempt, params, (remote, payload), {PLAIN: (plain, payload)})
        return attempt.measurement(
            compared(levels, _compare),
            rounds=rounds_of(levels),
            curve=curve_of(levels),
            curve_axis="connections",
        )


def _compare(level: Level) -> dict[str, float]:
    return {
        **level.interval("throughput_ratio", "rate_per_s.ok", PLAIN),
        **level.medians(SHOWN),
    }
