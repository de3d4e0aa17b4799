"""A replica is killed under load: what is lost, and how long until all is well again?

Poisson arrivals at a moderate rate; half way through, one of the server's replica processes gets
SIGKILL. A replica is a process under the server's own whose command line has the given words in it.
Its batches have to be answered by another one: errors stay within what it had in hand. A server
that runs models in its own process has no replicas, and is unsupported.
"""

from __future__ import annotations

import os
import signal
from typing import Annotated

import psutil
from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.loadgen.spec import OpenLoop, Phase
from benchmarks.measurement import Measurement
from benchmarks.proctree import ProcessTree
from benchmarks.scenarios.params import LoadParams, load_spec, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.timeline import back_to_slo_s
from benchmarks.subject import Served, UnsupportedError

NAME = "replica_kill"
SLICE_S = 0.1
METRICS = {
    **LOAD_METRICS,
    "failed": "Requests neither answered well nor refused, from the kill to the end.",
    "recovery_s": "From the kill to a second in which all answers are good.",
    "after.latency_ms.p99": "From the kill to the end.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which process, under what load."""

    rate: Annotated[float, Meta(gt=0, description="Requests a second, on average.")] = 500.0
    before_s: Annotated[float, Meta(gt=0, description="Load before the kill.")] = 10.0
    after_s: Annotated[float, Meta(gt=0, description="Load after it.")] = 20.0
    replica: Annotated[
        str, Meta(min_length=1, description="Words in the command line of a replica process.")
    ] = "EngineReplica"


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(1, params.before_s + params.after_s)


def run(context: Context, params: Params) -> Measurement:
    """One load, one kill."""
    with Attempt(context, NAME, params) as attempt, context.candidate() as server:
        replicas = _replicas(server, params.replica)
        if len(replicas) < 2:
            raise UnsupportedError(
                f"it runs {len(replicas)} replica processes, and needs a second one to take over"
            )
        load = OpenLoop(
            phases=(
                Phase("before", params.rate, params.before_s),
                Phase("after", params.rate, params.after_s),
            ),
            seed=context.seed,
        )
        payloads = payloads_for(context, params, server)
        spec = load_spec(params, server, payloads, load, slice_s=SLICE_S)
        part = params.before_s / (params.before_s + params.after_s)
        killer = Killer(replicas[0], part)
        driven = attempt.drive(server, spec, "a replica is killed", killer.at)
        after = driven.report.phase("after")
        return attempt.of_load(
            driven,
            metrics={
                "failed": after.failed,
                "recovery_s": back_to_slo_s(
                    driven.report.timeline,
                    params.before_s,
                    params.before_s + params.after_s,
                    params.slo_ms,
                ),
                "after.latency_ms.p99": after.latency_ms.p99,
            },
        )


class Killer:
    """Kills a process once a part of the load is over."""

    def __init__(self, pid: int, part: float) -> None:
        self._pid: int | None = pid
        self._part = part

    def at(self, part: float) -> None:
        """Told how far the load is."""
        if part >= self._part and self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._pid = None


def _replicas(server: Served, words: str) -> list[int]:
    tree: ProcessTree | None = server.tree
    if tree is None:
        raise UnsupportedError("the server's process is not known, and so not its replicas")
    return [
        pid
        for pid in tree.pids()
        if pid != tree.pid and words in " ".join(psutil.Process(pid).cmdline())
    ]
