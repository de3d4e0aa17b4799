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
from benchmarks.measure import interleave
from benchmarks.measurement import CurvePoint, Measurement, Round
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import json_rows
from benchmarks.scenarios.params import Count
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, curve_point, error_rate, loader, pairs
from benchmarks.server_status import replicas_of
from benchmarks.summary import medians, ratio

NAME = "remote_cost"
SHOWN = ("rate_per_s.ok", "latency_ms.p50", "latency_ms.p99", "server_cpu_us_per_req")
METRICS = {
    "at_{level}.throughput_ratio": "Median of good answers a second, with replicas / without.",
    "at_{level}.throughput_ratio.low": "Lower end of its 95 % interval.",
    "at_{level}.throughput_ratio.high": "Upper end.",
    **{f"at_{{level}}.{name}": "Median, with replicas." for name in SHOWN},
    **{f"at_{{level}}.in_process.{name}": "Median, without." for name in SHOWN},
    "error_rate": "Part of all requests, of both, that failed.",
}


class Params(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers, and of what."""

    levels: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Numbers of connections.")
    ] = (8, 64, 256)
    flags: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Flags with which it has replicas.")
    ] = ("--ray",)


def planned_s(params: Params) -> float:
    """About how long it takes."""
    loads = 2 * len(params.levels) * (params.rounds + 1)
    return 2 * SERVER_S + loads_s(loads, params.round_s)


def run(context: Context, params: Params) -> Measurement:
    """Without and with replicas turn by turn, one number of connections after the other."""
    payload = json_rows(SMALL.name, 1, FEATURES)
    elsewhere = replace(context, folder=context.folder / "remote")
    metrics: dict[str, float] = {}
    rounds: list[Round] = []
    curve: list[CurvePoint] = []
    every: list[Seen] = []
    with (
        Attempt(context, NAME, params) as attempt,
        context.serving(SMALL) as plain,
        elsewhere.serving(SMALL, params.flags) as remote,
    ):
        replicas_of(remote, SMALL.name)  # it has some, or is no such server
        assert plain.process is not None and remote.process is not None
        same_answers(plain.process, remote.process, payload)
        for level in params.levels:
            what = f"{level} connections"
            taken = interleave(
                {
                    "plain": loader(attempt, params, plain, payload, level, what),
                    "remote": loader(attempt, params, remote, payload, level, what),
                },
                params.rounds,
            )
            at = f"at_{level}."
            metrics |= _compare(taken["remote"], taken["plain"], at)
            rounds += pairs(taken["remote"], taken["plain"], at)
            curve.append(curve_point(level, taken["remote"]))
            every += [*taken["remote"], *taken["plain"]]
        metrics["error_rate"] = error_rate(every)
        return attempt.measurement(
            metrics, rounds=tuple(rounds), curve=tuple(curve), curve_axis="connections"
        )


def _compare(remote: list[Seen], plain: list[Seen], at: str) -> dict[str, float]:
    throughput = ratio(*([one["rate_per_s.ok"] for one in seen] for seen in (remote, plain)))
    with_replicas, without = medians(remote), medians(plain)
    return {
        f"{at}throughput_ratio": throughput.median,
        f"{at}throughput_ratio.low": throughput.low,
        f"{at}throughput_ratio.high": throughput.high,
        **{f"{at}{name}": with_replicas[name] for name in SHOWN},
        **{f"{at}in_process.{name}": without[name] for name in SHOWN},
    }
