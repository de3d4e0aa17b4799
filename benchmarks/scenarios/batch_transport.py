"""A large batch to an engine on the same node and back: how long, and how many copies is that?

No server: a gateway's executor in this process sends batches of 32 pictures (19.3 MB) to an engine
in a process of its own, one at a time. The model reads one number of each picture, so that moving
them is all that costs. Beside them a copy of as many bytes is timed, in memory that is in use.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import uvloop

from benchmarks.answers import WrongAnswerError
from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measurement import Measurement
from benchmarks.models import PICTURE, PICTURE_ELEMENTS
from benchmarks.process import StartError
from benchmarks.scenarios.planned import SERVER_S
from serve.clock import NS_PER_MS, monotonic_ns
from serve.executors.remote.executor import RemoteExecutor
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.monitoring.metrics import ReplicaMetrics
from serve.scheduling.execution import Outcome
from serve.tensors import Batch

NAME = "batch_transport"
EXPECTED_NS = NS_PER_MS
"""What the executor is told that a batch takes; it only guards against one that hangs."""
START_S = 60.0
REPLICA = "engine"
METRICS = {
    "batch_mb": "Bytes of a batch's inputs, in millions.",
    "round_trip_ms.p50": "From handing a batch over to having its outputs.",
    "round_trip_ms.p99": "The same.",
    "transport_ms.p50": "Of that, what the engine did not spend on running it.",
    "copy_ms.p50": "A copy of as many bytes from memory to memory.",
    "copies": "transport_ms.p50 in copies.",
}


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much, how often."""

    rows: Annotated[int, msgspec.Meta(ge=1, le=32, description="Pictures a batch.")] = 32
    batches: Annotated[int, msgspec.Meta(ge=10, description="Batches that count.")] = 1000
    warmup: Annotated[int, msgspec.Meta(ge=0, description="Batches before them.")] = 50


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + (params.batches + params.warmup) * 0.008


def run(context: Context, params: Params) -> Measurement:
    """One engine, one batch after the other."""
    repository, _ = context.write(PICTURE)
    pictures = np.random.default_rng(context.seed).standard_normal(
        (params.rows, PICTURE_ELEMENTS), np.float32
    )
    with (
        Attempt(context, NAME, params) as attempt,
        _engine(repository / PICTURE.name, context.folder) as endpoint,
    ):
        attempt.say(f"{pictures.nbytes / 1e6:.1f} MB a batch")
        seen = uvloop.run(_trips(endpoint, pictures, params))
        trips, transports, copies = np.array(seen, np.float64)[params.warmup :].T
        copy_ms = float(np.median(copies))
        transport_ms = float(np.median(transports))
        return attempt.measurement(
            {
                "batch_mb": pictures.nbytes / 1e6,
                "round_trip_ms.p50": float(np.median(trips)),
                "round_trip_ms.p99": float(np.percentile(trips, 99)),
                "transport_ms.p50": transport_ms,
                "copy_ms.p50": copy_ms,
                "copies": transport_ms / copy_ms,
            }
        )


async def _trips(
    endpoint: Endpoint, pictures: np.ndarray[tuple[int, int], np.dtype[np.float32]], params: Params
) -> list[tuple[float, float, float]]:
    """Milliseconds of each batch: round trip, its transport, and a copy beside it."""
    loop = asyncio.get_running_loop()
    executor = RemoteExecutor(
        WantedModel(PICTURE.name, "1"), RemoteOptions(), ReplicaMetrics(), monotonic_ns, loop
    )
    target = np.empty_like(pictures)
    seen = []
    try:
        executor.update({REPLICA: endpoint})
        try:
            await asyncio.wait_for(executor.described(), START_S)
        except TimeoutError:
            raise StartError(f"the engine is not reached: {executor.replicas()}") from None
        for number in range(params.warmup + params.batches):
            # Another one each time, so that an answer to an earlier one is noticed.
            pictures[:, 0] = number % 5
            right = 1 / (1 + np.exp(-pictures[:, :1]))
            answered: asyncio.Future[Outcome] = loop.create_future()
            begun_ns = monotonic_ns()
            executor.submit(Batch((pictures,), len(pictures)), EXPECTED_NS, answered.set_result)
            outcome = await answered
            trip_ns = monotonic_ns() - begun_ns
            if not outcome.outputs or not np.allclose(outcome.outputs[0], right, rtol=1e-5):
                raise WrongAnswerError(f"batch {number}: {outcome.error or outcome.outputs}")
            begun_ns = monotonic_ns()
            np.copyto(target, pictures)
            copy_ns = monotonic_ns() - begun_ns
            seen.append((trip_ns / 1e6, (trip_ns - outcome.execute_ns) / 1e6, copy_ns / 1e6))
    finally:
        executor.close()
    return seen


@contextmanager
def _engine(model: Path, folder: Path) -> Iterator[Endpoint]:
    """An engine for a model's folder, ready for gateways; ended with the block.

    Raises:
        StartError: it did not start; carries what it said.
    """
    socket = folder / "engine" / "e.sock"
    command = [sys.executable, "-m", "serve.executors.remote.process", "--until-stdin-ends"]
    command += [
        "--replica",
        REPLICA,
        "--model",
        str(model),
        "--socket",
        str(socket),
        "--log-level",
        "error",
    ]
    with (
        (folder / "engine.log").open("w+") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise StartError(f"the engine ended at start: {log.read()[-1000:]}")
            yield Endpoint(json.loads(line)["socket"])
        finally:
            process.terminate()
