"""An answer from the response cache: what it costs, against the same request without a cache.

One JSON row of 30 features, always the same, to an MLP that takes microseconds: once with a cache,
where the model runs once, once without, where it runs for every request. The difference of the two
servers' CPU per request is what looking up costs, less what the model and its batches do. In the
rounds, the baseline is the server without a cache.
"""

from __future__ import annotations

import statistics
from typing import Annotated

from msgspec import Meta

from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measure import interleave
from benchmarks.measurement import Measurement, Round
from benchmarks.models import FEATURES, KEPT, SMALL
from benchmarks.payloads import json_rows
from benchmarks.scenarios.params import Count
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, error_rate, loader, pairs
from benchmarks.server_metrics import counted
from benchmarks.summary import medians, ratio

NAME = "cache_hit"
METRICS = {
    "at_{level}.more_us": "Median of CPU per hit less CPU per request without a cache.",
    "at_{level}.cpu_ratio": "Median of CPU per hit / CPU per request without a cache.",
    "at_{level}.cpu_ratio.low": "Lower end of its 95 % interval.",
    "at_{level}.cpu_ratio.high": "Upper end.",
    "at_{level}.server_cpu_us_per_req": "Of a hit, median.",
    "at_{level}.plain.server_cpu_us_per_req": "Without a cache, median.",
    "at_{level}.rate_per_s.ok": "With hits, median.",
    "at_{level}.plain.rate_per_s.ok": "Without a cache, median.",
    "more_us.worst": "The greatest of the levels' more_us.",
    "lookup_us": "Time of finding the answer of a hit, its key included, mean over all of them.",
    "hit_share": "Part of the requests to the model with a cache that were hits.",
    "error_rate": "Part of all requests, of both, that failed.",
}


class Params(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers."""

    levels: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Numbers of connections.")
    ] = (1, 64)


def planned_s(params: Params) -> float:
    """About how long it takes."""
    loads = 2 * len(params.levels) * (params.rounds + 1)
    return 2 * SERVER_S + loads_s(loads, params.round_s)


def run(context: Context, params: Params) -> Measurement:
    """With and without a cache turn by turn, one number of connections after the other."""
    hits, requests = json_rows(KEPT.name, 1, FEATURES), json_rows(SMALL.name, 1, FEATURES)
    metrics: dict[str, float] = {}
    rounds: list[Round] = []
    every: list[Seen] = []
    with (
        Attempt(context, NAME, params) as attempt,
        context.serving(KEPT) as kept,
        context.serving(SMALL) as plain,
    ):
        for level in params.levels:
            what = f"{level} connections"
            taken = interleave(
                {
                    "plain": loader(attempt, params, plain, requests, level, what),
                    "kept": loader(attempt, params, kept, hits, level, what),
                },
                params.rounds,
            )
            at = f"at_{level}."
            metrics |= _compare(taken["kept"], taken["plain"], at)
            rounds += pairs(taken["kept"], taken["plain"], at)
            every += [*taken["kept"], *taken["plain"]]
        asked = counted(kept, "penstock_cache_requests_total", model=KEPT.name)
        hit = counted(kept, "penstock_cache_requests_total", model=KEPT.name, outcome="hit")
        metrics["more_us.worst"] = max(metrics[f"at_{level}.more_us"] for level in params.levels)
        metrics["hit_share"] = hit / max(1.0, asked)
        looking_s = counted(
            kept, "penstock_cache_lookup_seconds_total", model=KEPT.name, outcome="hit"
        )
        metrics["lookup_us"] = looking_s / max(1.0, hit) * 1e6
        metrics["error_rate"] = error_rate(every)
        return attempt.measurement(metrics, rounds=tuple(rounds))


def _compare(kept: list[Seen], plain: list[Seen], at: str) -> dict[str, float]:
    with_us, without_us = ([one["server_cpu_us_per_req"] for one in seen] for seen in (kept, plain))
    cpu = ratio(with_us, without_us)
    more_us = [a - b for a, b in zip(with_us, without_us, strict=True)]
    shown = medians(kept, at) | medians(plain, f"{at}plain.")
    wanted = {name.replace("at_{level}.", at) for name in METRICS}
    return {
        f"{at}more_us": statistics.median(more_us),
        f"{at}cpu_ratio": cpu.median,
        f"{at}cpu_ratio.low": cpu.low,
        f"{at}cpu_ratio.high": cpu.high,
        **{name: value for name, value in shown.items() if name in wanted},
    }
