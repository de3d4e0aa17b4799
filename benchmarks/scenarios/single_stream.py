"""One request at a time: what an answer takes when nobody else asks for one.

A closed loop with one request under way. Batching brings nothing here; all that the server adds to
the model shows.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.loadgen.spec import ClosedLoop
from benchmarks.measurement import Measurement
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s

NAME = "single_stream"
METRICS = LOAD_METRICS


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long."""

    duration_s: Annotated[float, Meta(gt=0, description="Load that counts.")] = 10.0
    warmup_s: Annotated[float, Meta(ge=0, description="Load before it.")] = 1.0


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(1, params.warmup_s + params.duration_s)


def run(context: Context, params: Params) -> Measurement:
    """One load, of one connection whatever the parameters say."""
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        load = ClosedLoop(duration_s=params.duration_s, warmup_s=params.warmup_s)
        payloads = payloads_for(context, params, server)
        spec = load_spec(params, server, payloads, load, connections=1, processes=1)
        return attempt.of_load(attempt.drive(server, spec, f"one at a time, {params.protocol}"))
