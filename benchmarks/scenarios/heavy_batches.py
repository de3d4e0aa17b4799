"""A model whose batch costs milliseconds: does the server keep the runtime busy?

Rows a second served over HTTP, against a plain ``session.run`` loop on the same machine at the
batch size that suits the model best. Few connections with requests of 32 binary rows, so that the
load generator takes next to nothing of the cores that the model computes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from benchmarks.answers import ask
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.machine import cores
from benchmarks.measure import interleave
from benchmarks.measurement import Measurement
from benchmarks.models import HEAVY, HEAVY_FEATURES, SLO_MS
from benchmarks.payloads import binary_rows
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, error_rate, loader
from benchmarks.session import SessionLoop, session_loop
from benchmarks.summary import medians, ratio

NAME = "heavy_batches"
SLO_SHARE = 0.4
"""Of the latency that is promised, what the rows under way may take all together."""
BATCH_SIZES = (16, 32, 64, 128, 256)
METRICS = {
    "rows_ratio": "Median of rows a second, served / plain loop.",
    "rows_ratio.low": "Lower end of its 95 % interval.",
    "rows_per_s": "Rows served a second, median.",
    "latency_ms.p50": "Median over the rounds.",
    "latency_ms.p99": "Median over the rounds.",
    "server_cpu_us_per_row": "Median over the rounds.",
    "refused_rate": "Part of all requests refused for want of capacity.",
    "error_rate": "Part of all requests that failed.",
    "loop.rows_per_s": "Rows a second of the plain loop, median.",
    "loop.best_rows": "The batch size that suits the model best.",
    "connections": "Callers at once.",
}


class Params(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for at once."""

    rows: Annotated[int, Meta(ge=1, description="Rows a request.")] = 32
    connections: Annotated[
        int, Meta(ge=0, description="Callers at once; 0: as many as the SLO has room for.")
    ] = 0


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(2 * (params.rounds + 1), params.round_s) + 6.0


def run(context: Context, params: Params) -> Measurement:
    """The loop and the server turn by turn."""
    _, model = context.write(HEAVY)
    payload = binary_rows(HEAVY.name, params.rows, HEAVY_FEATURES)
    with (
        Attempt(context, NAME, params) as attempt,
        context.serving(HEAVY) as server,
        session_loop(model, cores()) as loop,
    ):
        assert server.process is not None
        ask(server.process, payload)
        attempt.say("looking for the best batch size of the plain loop")
        best_rows = loop.best_rows(BATCH_SIZES, duration_s=min(0.5, params.round_s / 4))
        connections = params.connections or _callers(loop, best_rows, params)
        what = f"{connections} connections of {params.rows} rows"
        taken = interleave(
            {
                "loop": _looper(loop, best_rows, params.round_s),
                "server": loader(attempt, params, server, payload, connections, what),
            },
            params.rounds,
        )
        served, plain = taken["server"], taken["loop"]
        ratios = ratio(*([one["rows_per_s"] for one in rounds] for rounds in (served, plain)))
        requests = max(1.0, sum(one["requests"] for one in served))
        seen = medians(served)
        return attempt.measurement(
            {
                **{name: seen[name] for name in METRICS if name in seen},
                "rows_ratio": ratios.median,
                "rows_ratio.low": ratios.low,
                "refused_rate": sum(one["refused"] for one in served) / requests,
                "error_rate": error_rate(served),
                "loop.rows_per_s": medians(plain)["rows_per_s"],
                "loop.best_rows": best_rows,
                "connections": connections,
            }
        )


def _callers(loop: SessionLoop, best_rows: int, params: Params) -> int:
    """So many that the runtime always has work, and none of it waits beyond the SLO.

    More would be refused, and since callers in a closed loop come back at once, what would be
    measured is how fast they are refused.
    """
    rows_per_s = loop.measure(best_rows, min(0.5, params.round_s / 4)).rows_per_s
    return max(2, int(rows_per_s * SLO_MS / 1e3 * SLO_SHARE / params.rows))


def _looper(loop: SessionLoop, rows: int, duration_s: float) -> Callable[[], Seen]:
    return lambda: {"rows_per_s": loop.measure(rows, duration_s).rows_per_s}
