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
from collections.abc import Callable
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from benchmarks.answers import ask
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measure import interleave
from benchmarks.measurement import Measurement
from benchmarks.models import LARGE, LARGE_ELEMENTS
from benchmarks.payloads import binary_rows
from benchmarks.process import running
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, error_rate, loader
from benchmarks.session import SessionLoop, session_loop
from benchmarks.subject import Served, served
from benchmarks.summary import medians

NAME = "large_tensor"
TENSOR_BYTES = LARGE_ELEMENTS * 4
METRICS = {
    "copies.cpu": "User CPU beside the model's own run, in copies of the tensor; median.",
    "copies.memory": "How far the peak of memory rises, in tensors.",
    "server_cpu_us_per_req": "User and system, median.",
    "server_user_cpu_us_per_req": "Outside the kernel only, median.",
    "sink.server_cpu_us_per_req": "The same work for a server that forgets it, median.",
    "model_us": "CPU of the model's own run, median.",
    "copy_us": "User CPU of one copy of the tensor, median.",
    "error_rate": "Part of all requests that failed.",
}


class Params(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often memory is tried."""

    memory_requests: Annotated[
        int, Meta(ge=1, description="Requests that raise the peak of memory.")
    ] = 5


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(2 * (params.rounds + 1), params.round_s * 1.25)


def run(context: Context, params: Params) -> Measurement:
    """Memory first, while the server is fresh, then CPU by rounds."""
    _, model = context.write(LARGE)
    tensor = np.random.default_rng(0).standard_normal((1, LARGE_ELEMENTS), np.float32)
    payload = binary_rows(LARGE.name, 1, LARGE_ELEMENTS, tensor)
    with (
        Attempt(context, NAME, params) as attempt,
        context.serving(LARGE) as server,
        running(context.start_sink(), path=None) as sink,
        session_loop(model, threads=1) as loop,
    ):
        assert server.process is not None and server.tree is not None
        before_bytes = server.tree.rss_bytes()
        for _ in range(params.memory_requests):
            ask(server.process, payload)
        growth = (server.tree.peak_rss_bytes() - before_bytes) / TENSOR_BYTES
        what = f"one connection, {len(payload.body) / 2**20:.0f} MiB a request"
        load = loader(attempt, params, server, payload, 1, what)
        taken = interleave(
            {
                "server": _with_references(load, server, loop, tensor, params.round_s / 4),
                "sink": loader(attempt, params, served(sink), payload, 1, f"sink, {what}"),
            },
            params.rounds,
        )
        seen = medians(taken["server"])
        return attempt.measurement(
            {
                **{name: seen[name] for name in METRICS if name in seen},
                "copies.memory": growth,
                "sink.server_cpu_us_per_req": medians(taken["sink"])["server_cpu_us_per_req"],
                "error_rate": error_rate(taken["server"]),
            }
        )


def _with_references(
    load: Callable[[], Seen],
    server: Served,
    loop: SessionLoop,
    tensor: npt.NDArray[np.float32],
    reference_s: float,
) -> Callable[[], Seen]:
    """A round of load, and beside it what a run of the model and a copy cost at that time."""
    tree = server.tree
    assert tree is not None

    def round_of_server() -> Seen:
        model_us = loop.measure(1, reference_s).cpu_s_per_run * 1e6
        copy_us = _copy_user_us(tensor, reference_s)
        before_s = tree.user_cpu_s()
        seen = load()
        user_us = (tree.user_cpu_s() - before_s) / max(1.0, seen["requests"]) * 1e6
        return {
            **seen,
            "server_user_cpu_us_per_req": user_us,
            "model_us": model_us,
            "copy_us": copy_us,
            "copies.cpu": max(0.0, user_us - model_us) / copy_us,
        }

    return round_of_server


def _copy_user_us(tensor: npt.NDArray[np.float32], duration_s: float) -> float:
    """User CPU of one copy; into memory that is fresh each time, as a request's is."""
    copies, start_s = 0, os.times().user
    end_s = time.perf_counter() + duration_s
    while time.perf_counter() < end_s:
        tensor.tobytes()
        copies += 1
    return (os.times().user - start_s) / copies * 1e6
