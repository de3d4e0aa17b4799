"""A replica is killed under load: what is lost, and how long until all is well again?

Poisson arrivals at a moderate rate; after a while one of the model's replicas gets SIGKILL. The
server says which processes they are, at /status on its admin port. Their batches have to be
answered by another replica, and the lost one is to be replaced. A server that runs models in its
own process has no replicas, and is unsupported.

By default the model is a small benchmark model with two replicas, whose answers are compared with
those of ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.inputs.signature import fetch
from benchmarks.loadgen.spec import LoadSpec, OpenLoop, Phase
from benchmarks.measurement import Measurement
from benchmarks.models import PAIR
from benchmarks.scenarios.params import LoadParams, load_spec, own_payloads, payloads_for
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.timeline import back_to_slo_s
from benchmarks.server_status import replicas_of
from benchmarks.subject import Served, UnsupportedError

NAME = "replica_kill"
SLICE_S = 0.1
METRICS = {
    **LOAD_METRICS,
    "wrong": "Answers that are not ONNX Runtime's, of the benchmark model.",
    "failed": "Requests neither answered well nor refused, from the kill to the end.",
    "recovery_s": "From the kill to a second in which all answers are good.",
    "replaced_s": "From the kill until as many replicas are ready as before.",
    "after.latency_ms.p99": "From the kill to the end.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which model, under what load."""

    use: Annotated[
        Literal["pair", "served"],
        Meta(description="`pair`: the benchmark model. `served`: the run's own, unchecked."),
    ] = "pair"
    rate: Annotated[float, Meta(gt=0, description="Requests a second, on average.")] = 500.0
    before_s: Annotated[float, Meta(gt=0, description="Load before the kill.")] = 10.0
    after_s: Annotated[float, Meta(gt=0, description="Load after it.")] = 20.0


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(1, params.before_s + params.after_s)


def run(context: Context, params: Params) -> Measurement:
    """One load, one kill."""
    with Attempt(context, NAME, params) as attempt, _served(context, params) as (server, spec):
        killer = Killer(server, _model(context, params, server), params)
        driven = attempt.drive(server, spec, "a replica is killed", killer.at)
        after = driven.report.phase("after")
        end_s = params.before_s + params.after_s
        return attempt.of_load(
            driven,
            metrics={
                "wrong": driven.report.total.wrong,
                "failed": after.failed,
                "recovery_s": back_to_slo_s(
                    driven.report.timeline, params.before_s, end_s, params.slo_ms
                ),
                "replaced_s": killer.replaced_s,
                "after.latency_ms.p99": after.latency_ms.p99,
            },
        )


class Killer:
    """Kills a replica once a part of the load is over, and looks for the one that replaces it.

    Raises:
        UnsupportedError: the server has not two replicas of which one can be killed from here.
    """

    def __init__(self, server: Served, model: str, params: Params) -> None:
        self._server = server
        self._model = model
        self._part = params.before_s / (params.before_s + params.after_s)
        self._killed_s: float | None = None
        self._pids = _pids(server, model)
        self._found = False
        self.replaced_s = params.after_s
        """Seconds from the kill; all that there were if no other replica was ready in them."""

    def at(self, part: float) -> None:
        """Told how far the load is."""
        if self._killed_s is None:
            if part >= self._part:
                os.kill(self._pids[0], signal.SIGKILL)
                self._killed_s = time.monotonic()
            return
        if not self._found and self._is_replaced():
            self._found = True
            self.replaced_s = time.monotonic() - self._killed_s

    def _is_replaced(self) -> bool:
        """Whether there are as many replicas again, as far as the server tells."""
        with contextlib.suppress(UnsupportedError):
            pids = {replica.pid for replica in replicas_of(self._server, self._model)}
            return self._pids[0] not in pids and len(pids) >= len(self._pids)
        return False


@contextlib.contextmanager
def _served(context: Context, params: Params) -> Iterator[tuple[Served, LoadSpec]]:
    load = OpenLoop(
        phases=(
            Phase("before", params.rate, params.before_s),
            Phase("after", params.rate, params.after_s),
        ),
        seed=context.seed,
    )
    if params.use == "served":
        with context.candidate() as server:
            payloads = payloads_for(context, params, server)
            yield server, load_spec(params, server, payloads, load, slice_s=SLICE_S)
        return
    with context.serving(PAIR) as server:
        _, artefact = context.write(PAIR)
        payloads, expected = own_payloads(context, PAIR, artefact, params.payloads)
        yield (
            server,
            load_spec(params, server, payloads, load, slice_s=SLICE_S, expected=expected),
        )


def _model(context: Context, params: Params, server: Served) -> str:
    if params.use == "pair":
        return PAIR.name
    return fetch(server, params.model or context.model).name


def _pids(server: Served, model: str) -> list[int]:
    """Processes below the server's own that are replicas of the model."""
    if server.tree is None:
        raise UnsupportedError("the server's process is not known, and so not its replicas")
    below = set(server.tree.pids())
    pids = [replica.pid for replica in replicas_of(server, model) if replica.pid in below]
    if len(pids) < 2:
        raise UnsupportedError(
            f"model {model!r} has {len(pids)} replicas on this machine, and needs a second one to"
            " take over"
        )
    return pids
