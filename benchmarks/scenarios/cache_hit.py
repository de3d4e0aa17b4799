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
from benchmarks.measurement import Measurement
from benchmarks.models import FEATURES, KEPT, SMALL
from benchmarks.payloads import json_rows
from benchmarks.scenarios.levels import (
    Level,
    LevelParams,
    compared,
    planned_s,
    rounds_of,
    take_levels,
)
from benchmarks.scenarios.params import Count
from benchmarks.server_metrics import counted

__all__ = ["METRICS", "NAME", "Params", "planned_s", "run"]

NAME = "cache_hit"
SHOWN = ("rate_per_s.ok", "server_cpu_us_per_req")
METRICS = {
    "at_{level}.more_us": "Median of CPU per hit less CPU per request without a cache.",
    "at_{level}.cpu_ratio": "Median of CPU per hit / CPU per request without a cache.",
    "at_{level}.cpu_ratio.low": "Lower end of its 95 % interval.",
    "at_{level}.cpu_ratio.high": "Upper end.",
    **{f"at_{{level}}.{name}": "Median, of hits." for name in SHOWN},
    **{f"at_{{level}}.plain.{name}": "Median, without a cache." for name in SHOWN},
    "more_us.worst": "The greatest of the levels' more_us.",
    "lookup_us": "Time of finding the answer of a hit, its key included, mean over all of them.",
    "hit_share": "Part of the requests to the model with a cache that were hits.",
    "error_rate": "Part of all requests, of both, that failed.",
}


class Params(LevelParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many callers."""

    levels: Annotated[
        tuple[Count, ...], Meta(min_length=1, description="Numbers of connections.")
    ] = (1, 64)


def run(context: Context, params: Params) -> Measurement:
    """With and without a cache turn by turn, one number of connections after the other."""
    hits, requests = json_rows(KEPT.name, 1, FEATURES), json_rows(SMALL.name, 1, FEATURES)
    with (
        Attempt(context, NAME, params) as attempt,
        context.serving(KEPT) as kept,
        context.serving(SMALL) as plain,
    ):
        levels = take_levels(attempt, params, (kept, hits), {"plain": (plain, requests)})
        metrics = compared(levels, _compare)
        metrics["more_us.worst"] = max(metrics[f"{level.at}more_us"] for level in levels)
        asked = counted(kept, "penstock_cache_requests_total", model=KEPT.name)
        hit = counted(kept, "penstock_cache_requests_total", model=KEPT.name, outcome="hit")
        metrics["hit_share"] = hit / max(1.0, asked)
        looking_s = counted(
            kept, "penstock_cache_lookup_seconds_total", model=KEPT.name, outcome="hit"
        )
        metrics["lookup_us"] = looking_s / max(1.0, hit) * 1e6
        return attempt.measurement(metrics, rounds=rounds_of(levels))


def _compare(level: Level) -> dict[str, float]:
    hits_us, plain_us = level.both("server_cpu_us_per_req", "plain")
    return {
        f"{level.at}more_us": statistics.median(
            hit - plain for hit, plain in zip(hits_us, plain_us, strict=True)
        ),
        **level.interval("cpu_ratio", "server_cpu_us_per_req", "plain"),
        **level.medians(SHOWN),
    }
