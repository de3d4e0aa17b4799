"""Binary tensors and several rows a request must not cost more per row than one row of JSON.

Four forms of the same request, turn by turn, to an MLP that takes microseconds; server CPU per row.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from benchmarks.answers import ask
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measure import interleave
from benchmarks.measurement import Measurement
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import binary_rows, json_rows
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, error_rate, loader
from benchmarks.summary import medians, ratio

NAME = "binary_and_rows"
BASE = "json_1"
METRICS = {
    "{form}.server_cpu_us_per_row": "CPU a row: json_1, json_{rows}, binary_1, binary_{rows}.",
    "{form}.rows_per_s": "Rows answered a second.",
    "{form}.cpu_ratio": f"Median of CPU per row, this form / {BASE}; not for {BASE} itself.",
    "cpu_ratio.worst": "The highest of these.",
    "error_rate": "Part of all requests that failed.",
}


class Params(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many rows."""

    rows: Annotated[int, Meta(ge=2, description="Rows of the requests with several.")] = 64
    connections: Annotated[int, Meta(ge=1, description="Callers at once.")] = 16


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(4 * (params.rounds + 1), params.round_s)


def run(context: Context, params: Params) -> Measurement:
    """All forms, turn by turn."""
    payloads = {
        BASE: json_rows(SMALL.name, 1, FEATURES),
        f"json_{params.rows}": json_rows(SMALL.name, params.rows, FEATURES),
        "binary_1": binary_rows(SMALL.name, 1, FEATURES),
        f"binary_{params.rows}": binary_rows(SMALL.name, params.rows, FEATURES),
    }
    with Attempt(context, NAME, params) as attempt, context.serving(SMALL) as server:
        assert server.process is not None
        for payload in payloads.values():
            ask(server.process, payload)
        taken = interleave(
            {
                form: loader(attempt, params, server, payload, params.connections, form)
                for form, payload in payloads.items()
            },
            params.rounds,
        )
        metrics: dict[str, float] = {}
        for form, rounds in taken.items():
            seen = medians(rounds)
            metrics[f"{form}.server_cpu_us_per_row"] = seen["server_cpu_us_per_row"]
            metrics[f"{form}.rows_per_s"] = seen["rows_per_s"]
        per_row = {
            form: [one["server_cpu_us_per_row"] for one in rounds] for form, rounds in taken.items()
        }
        ratios = {
            form: ratio(per_row[form], per_row[BASE]).median for form in payloads if form != BASE
        }
        metrics |= {f"{form}.cpu_ratio": value for form, value in ratios.items()}
        metrics["cpu_ratio.worst"] = max(ratios.values())
        metrics["error_rate"] = error_rate([one for rounds in taken.values() for one in rounds])
        return attempt.measurement(metrics)
