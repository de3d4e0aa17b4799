"""The headline: requests that come as they come, at a given rate on average.

Poisson arrivals, which do not wait for answers; latency from when a request was due. What a user
sees of a server that gets so many requests a second from people who know nothing of each other.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.loadgen.profiles import steady
from benchmarks.loadgen.spec import OpenLoop
from benchmarks.measurement import Measurement
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s

NAME = "server_fixed"
METRICS = LOAD_METRICS


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate, and how long."""

    rate: Annotated[float, Meta(gt=0, description="Requests a second, on average.")] = 1000.0
    arrivals: Annotated[
        Literal["poisson", "constant"], Meta(description="At random, or evenly spaced.")
    ] = "poisson"
    duration_s: Annotated[float, Meta(gt=0, description="Load that counts.")] = 30.0
    warmup_s: Annotated[float, Meta(ge=0, description="Load before it.")] = 3.0


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(1, params.warmup_s + params.duration_s)


def run(context: Context, params: Params) -> Measurement:
    """One load."""
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        load = OpenLoop(
            phases=steady(params.rate, params.duration_s, params.warmup_s),
            arrivals=params.arrivals,
            seed=context.seed,
        )
        payloads = payloads_for(context, params, server)
        what = f"{params.rate:,.0f} requests/s over {params.protocol}"
        return attempt.of_load(
            attempt.drive(server, load_spec(params, server, payloads, load), what)
        )
