"""A model whose batch costs milliseconds: does the server keep the runtime busy?

Rows a second served over HTTP, against a plain ``session.run`` loop on the same machine at the
batch size that suits the model best. Few connections with requests of 32 binary rows, so that the
load generator takes next to nothing of the cores that the model computes on.
"""

from __future__ import annotations

from benchmarks.answers import ask
from benchmarks.context import Context
from benchmarks.machine import cores
from benchmarks.measure import Sample, interleave, load, noise_note, samples_json
from benchmarks.models import HEAVY, HEAVY_FEATURES, SLO_MS
from benchmarks.payloads import binary_rows
from benchmarks.process import running
from benchmarks.result import Check, Figure, Result
from benchmarks.session import session_loop
from benchmarks.summary import figure, ratio

NAME = "heavy_batches"
CONNECTIONS = 12
ROWS = 32
BATCH_SIZES = (16, 32, 64, 128, 256)
MIN_SERVED = 0.90


def run(context: Context) -> Result:
    """The loop and the server turn by turn."""
    repository, model = context.write(HEAVY)
    payload = binary_rows(HEAVY.name, ROWS, HEAVY_FEATURES)
    with (
        running(context.start_penstock(repository)) as server,
        session_loop(model, cores()) as loop,
    ):
        ask(server, payload)
        context.say(f"{NAME}: looking for the best batch size")
        best_rows = loop.best_rows(BATCH_SIZES, duration_s=0.5 if context.round_s > 1 else 0.2)
        context.say(f"{NAME}: {CONNECTIONS} connections of {ROWS} rows")
        taken: dict[str, list[Sample | float]] = interleave(
            {
                "loop": lambda: loop.measure(best_rows, context.round_s).rows_per_s,
                "penstock": lambda: load(context, server, payload, CONNECTIONS),
            },
            context.rounds,
        )
    raw = [rate for rate in taken["loop"] if isinstance(rate, float)]
    samples = [sample for sample in taken["penstock"] if isinstance(sample, Sample)]
    rows_per_s = [sample.ok_per_s * ROWS for sample in samples]
    answered = sum(sample.ok_per_s for sample in samples) * context.round_s
    refused = sum(sample.failed for sample in samples)
    return Result(
        NAME,
        (
            Check(ratio("rows served / plain loop", rows_per_s, raw), ">=", MIN_SERVED),
            Check(figure("p99", [s.p99_ms for s in samples], "ms"), "<=", SLO_MS),
        ),
        (
            Figure("best batch of the plain loop", best_rows, "rows"),
            figure("plain loop", raw, "rows/s"),
            figure("penstock", rows_per_s, "rows/s"),
            Figure("requests refused", refused / max(1.0, refused + answered) * 100, "%"),
            figure("server CPU", [s.cpu_us / ROWS for s in samples], "µs/row"),
        ),
        noise_note(samples),
        details={"loop_rows_per_s": raw, **samples_json({"penstock": samples})},
    )
