"""Binary tensors and several rows a request must not cost more per row than one row of JSON."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.answers import ask
from benchmarks.context import Context
from benchmarks.measure import Sample, interleave, load, noise_note, samples_json
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import Payload, binary_rows, json_rows
from benchmarks.process import Server, running
from benchmarks.result import Check, Figure, Result
from benchmarks.summary import figure, ratio

NAME = "binary_and_rows"
CONNECTIONS = 16
ROWS = 64
BASE = "JSON, 1 row"


def run(context: Context) -> Result:
    """Four forms of the same request, turn by turn; server CPU per row."""
    repository, _ = context.write(SMALL)
    payloads = {
        BASE: json_rows(SMALL.name, 1, FEATURES),
        f"JSON, {ROWS} rows": json_rows(SMALL.name, ROWS, FEATURES),
        "binary, 1 row": binary_rows(SMALL.name, 1, FEATURES),
        f"binary, {ROWS} rows": binary_rows(SMALL.name, ROWS, FEATURES),
    }
    with running(context.start_penstock(repository)) as server:
        for payload in payloads.values():
            ask(server, payload)
        context.say(f"{NAME}: {CONNECTIONS} connections, {len(payloads)} forms of request")
        taken = interleave(
            {name: _round(context, server, payload) for name, payload in payloads.items()},
            context.rounds,
        )
    per_row = {
        name: [sample.cpu_us / payloads[name].rows for sample in samples]
        for name, samples in taken.items()
    }
    every = [sample for samples in taken.values() for sample in samples]
    figures = []
    for name, samples in taken.items():
        rows_per_s = [sample.ok_per_s * payloads[name].rows for sample in samples]
        figures += [
            figure(name, per_row[name], "µs/row"),
            figure(f"{name}, throughput", rows_per_s, "rows/s"),
        ]
    checks = [
        Check(ratio(f"CPU per row, {name} / {BASE}", per_row[name], per_row[BASE]), "<=", 1.0)
        for name in payloads
        if name != BASE
    ]
    failed = Figure("requests that failed", sum(sample.failed for sample in every))
    return Result(
        NAME,
        (*checks, Check(failed, "<=", 0)),
        tuple(figures),
        noise_note(every),
        details=dict(samples_json(taken)),
    )


def _round(context: Context, server: Server, payload: Payload) -> Callable[[], Sample]:
    return lambda: load(context, server, payload, CONNECTIONS)
