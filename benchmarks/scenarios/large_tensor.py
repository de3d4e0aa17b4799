"""A 16 MiB tensor: how often is it copied?

Two ways to count. CPU: what a request costs the server, less what receiving it costs at least (a
sink that receives into fresh memory and forgets) and less the model's own run, in units of one
copy of 16 MiB into fresh memory, all measured turn by turn. Memory: how far requests, one at a time, raise the
peak of a server that has seen none yet.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.answers import ask
from benchmarks.context import Context
from benchmarks.measure import interleave, load
from benchmarks.models import LARGE, LARGE_ELEMENTS
from benchmarks.payloads import binary_rows
from benchmarks.process import running
from benchmarks.result import Check, Figure, Result
from benchmarks.session import session_loop
from benchmarks.summary import figure

NAME = "large_tensor"
TENSOR_BYTES = LARGE_ELEMENTS * 4
MAX_COPIES = 2.0
MEMORY_SLACK = 0.25
"""Part of a tensor that buffers, stacks and the allocator may take beside the copies."""
MEMORY_REQUESTS = 5


def run(context: Context) -> Result:
    """CPU by rounds, then memory, one request at a time."""
    repository, model = context.write(LARGE)
    tensor = np.random.default_rng(0).standard_normal((1, LARGE_ELEMENTS), np.float32)
    payload = binary_rows(LARGE.name, 1, LARGE_ELEMENTS, tensor)
    with (
        running(context.start_penstock(repository)) as server,
        running(context.start_sink(), path=None) as sink,
        session_loop(model, threads=1) as loop,
    ):
        before_bytes = server.rss_bytes()
        for _ in range(MEMORY_REQUESTS):
            ask(server, payload)
        growth = (server.peak_rss_bytes() - before_bytes) / TENSOR_BYTES
        context.say(f"{NAME}: one connection, {len(payload.body) / 2**20:.0f} MiB a request")
        taken = interleave(
            {
                "server": lambda: load(context, server, payload, 1).cpu_us,
                "sink": lambda: load(context, sink, payload, 1).cpu_us,
                "model": lambda: loop.measure(1, context.round_s / 4).cpu_s_per_run * 1e6,
                "copy": lambda: _copy_us(tensor, context.round_s / 4),
            },
            context.rounds,
        )
    copies = [
        (own - received - run_us) / copy
        for own, received, run_us, copy in zip(
            taken["server"], taken["sink"], taken["model"], taken["copy"], strict=True
        )
    ]
    return Result(
        NAME,
        (
            Check(figure("CPU beside receiving and the model", copies, "copies"), "<=", MAX_COPIES),
            Check(Figure("peak memory", growth, "tensors"), "<=", MAX_COPIES + MEMORY_SLACK),
        ),
        (
            figure("server CPU", taken["server"], "µs/req"),
            figure("received and forgotten", taken["sink"], "µs/req"),
            figure("the model's own run", taken["model"], "µs/req"),
            figure("one copy of 16 MiB", taken["copy"], "µs"),
        ),
        details={"rounds": taken},
    )


def _copy_us(tensor: np.ndarray[tuple[int, ...], np.dtype[np.float32]], duration_s: float) -> float:
    """CPU of one copy into memory that is fresh each time, as a request's is."""
    copies, cpu_start_s = 0, time.process_time()
    end_s = time.perf_counter() + duration_s
    while time.perf_counter() < end_s:
        tensor.tobytes()
        copies += 1
    return (time.process_time() - cpu_start_s) / copies * 1e6
