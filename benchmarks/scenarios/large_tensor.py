"""A 16 MiB tensor: how often is it copied?

Two ways to count. CPU: what a request costs the server outside the kernel, less the model's own
run, in units of one copy of 16 MiB, all measured turn by turn. (Inside the kernel, receiving 16 MiB
costs several milliseconds whatever a server does; a sink that receives into fresh memory and
forgets shows how much.) Memory: how far requests, one at a time, raise the peak of a server that
has seen none yet.
"""

from __future__ import annotations

import os
import time

import numpy as np
import numpy.typing as npt

from benchmarks.answers import ask
from benchmarks.context import Context
from benchmarks.measure import Sample, interleave, load, samples_json
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
    """Memory first, while the server is fresh, then CPU by rounds."""
    repository, model = context.write(LARGE)
    tensor = np.random.default_rng(0).standard_normal((1, LARGE_ELEMENTS), np.float32)
    payload = binary_rows(LARGE.name, 1, LARGE_ELEMENTS, tensor)
    model_us: list[float] = []
    copy_us: list[float] = []
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

        def round_of_server() -> Sample:
            model_us.append(loop.measure(1, context.round_s / 4).cpu_s_per_run * 1e6)
            copy_us.append(_copy_user_us(tensor, context.round_s / 4))
            return load(context, server, payload, 1)

        taken = interleave(
            {"penstock": round_of_server, "sink": lambda: load(context, sink, payload, 1)},
            context.rounds,
        )
    samples = taken["penstock"]
    copies = [
        max(0.0, sample.user_cpu_us - run_us) / one_us
        for sample, run_us, one_us in zip(samples, model_us[1:], copy_us[1:], strict=True)
    ]
    return Result(
        NAME,
        (
            Check(figure("user CPU beside the model", copies, "copies"), "<=", MAX_COPIES),
            Check(Figure("peak memory", growth, "tensors"), "<=", MAX_COPIES + MEMORY_SLACK),
        ),
        (
            figure("server CPU, user and system", [s.cpu_us for s in samples], "µs/req"),
            figure("server CPU, user", [s.user_cpu_us for s in samples], "µs/req"),
            figure("a sink's CPU", [s.cpu_us for s in taken["sink"]], "µs/req"),
            figure("the model's own run", model_us[1:], "µs/req"),
            figure("one copy of 16 MiB, user", copy_us[1:], "µs"),
        ),
        details={**samples_json(taken), "model_us": model_us, "copy_us": copy_us},
    )


def _copy_user_us(tensor: npt.NDArray[np.float32], duration_s: float) -> float:
    """User CPU of one copy; into memory that is fresh each time, as a request's is."""
    copies, start_s = 0, os.times().user
    end_s = time.perf_counter() + duration_s
    while time.perf_counter() < end_s:
        tensor.tobytes()
        copies += 1
    return (os.times().user - start_s) / copies * 1e6
