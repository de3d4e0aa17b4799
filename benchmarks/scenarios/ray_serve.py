"""The same model on plain Ray Serve: how much more does a server with replicas on Ray answer?

Three servers in turn, one at a time and each more than once, on the benchmarks' small network and
the same requests: ours with ``--ray``; Ray Serve's default path with ``@serve.batch`` (its HTTP
proxy in Python); and that behind its HAProxy with its throughput flags. Ray Serve runs in an
environment of its own, as ``benchmarks/peers/rayserve`` sets it up, and is stopped with all of its
processes. Every server's answers are compared with ONNX Runtime's before it is loaded.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec

from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.loadgen.spec import ClosedLoop, LoadReport, LoadSpec
from benchmarks.measurement import Measurement
from benchmarks.peers.catalogue import ROWS
from benchmarks.peers.contender import running
from benchmarks.peers.environment import SetupError, ensure
from benchmarks.peers.models import PeerModel, build_mlp
from benchmarks.subject import UnsupportedError, served

NAME = "ray_serve"
PEER = "rayserve"
OURS, DEFAULT, HAPROXY = "penstock ray", "rayserve tuned", "rayserve haproxy"
CONTENDERS = {OURS: "ours", DEFAULT: "default", HAPROXY: "haproxy"}
START_S = 20.0
METRICS = {
    "default.throughput_ratio": "Good answers a second, ours / Ray Serve's default path; medians.",
    "haproxy.throughput_ratio": "The same, its HAProxy mode.",
    **{f"{name}.rate_per_s.ok": "Good answers a second, median." for name in CONTENDERS.values()},
    **{f"{name}.latency_ms.p50": "Median of the visits." for name in CONTENDERS.values()},
    "error_rate": "Part of all requests, of all three, that failed.",
}


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, under what load."""

    visits: Annotated[int, msgspec.Meta(ge=1, description="Starts of each server.")] = 2
    connections: Annotated[int, msgspec.Meta(ge=1, description="Callers.")] = 64
    warmup_s: Annotated[float, msgspec.Meta(ge=0, description="Load that is not counted.")] = 2.0
    load_s: Annotated[float, msgspec.Meta(gt=0, description="Load that is.")] = 5.0


def planned_s(params: Params) -> float:
    """About how long it takes, once Ray Serve's environment is there."""
    return len(CONTENDERS) * params.visits * (START_S + params.warmup_s + params.load_s)


def run(context: Context, params: Params) -> Measurement:
    """Visit after visit, in turned order each other time."""
    try:
        ensure(PEER)
    except (SetupError, OSError) as error:
        raise UnsupportedError(f"Ray Serve's environment cannot be made: {error}") from error
    rates: dict[str, list[float]] = {row: [] for row in CONTENDERS}
    p50_ms: dict[str, list[float]] = {row: [] for row in CONTENDERS}
    failed = offered = 0
    # Short paths: the names of HAProxy's sockets may have 97 bytes, of which Ray uses 70.
    with (
        Attempt(context, NAME, params) as attempt,
        tempfile.TemporaryDirectory(prefix="peers-") as folder,
    ):
        model = build_mlp(Path(folder) / "mlp")
        there = list(CONTENDERS)
        turns = [there if number % 2 else there[::-1] for number in range(params.visits)]
        for number, row in enumerate(itertools.chain.from_iterable(turns)):
            (scratch := Path(folder) / f"{number}").mkdir()
            report = _visit(attempt, row, model, scratch, params)
            rates[row].append(report.total.ok_per_s)
            p50_ms[row].append(report.total.latency_ms.p50)
            failed += report.total.failed
            offered += report.total.offered
        metrics = {"error_rate": failed / max(1, offered)}
        for row, name in CONTENDERS.items():
            metrics[f"{name}.rate_per_s.ok"] = statistics.median(rates[row])
            metrics[f"{name}.latency_ms.p50"] = statistics.median(p50_ms[row])
            if row != OURS:
                theirs = max(1e-9, statistics.median(rates[row]))
                metrics[f"{name}.throughput_ratio"] = statistics.median(rates[OURS]) / theirs
        return attempt.measurement(metrics)


def _visit(
    attempt: Attempt, row: str, model: PeerModel, scratch: Path, params: Params
) -> LoadReport:
    contender = next(one for one in ROWS if one.name == row)
    attempt.say(f"{row} starts")
    with running(contender, model, scratch) as server:
        spec = LoadSpec(
            target=served(server).target("http"),
            payloads=tuple(contender.route.payload(model, record) for record in model.records),
            load=ClosedLoop(duration_s=params.load_s, warmup_s=params.warmup_s),
            connections=params.connections,
        )
        driven = attempt.drive(served(server), spec, row)
        attempt.invalid += [f"{row}: {why}" for why in driven.report.health.reasons]
        return driven.report
