"""One visit: start a row's server, check its answers, load it, stop it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.loadgen.health import enough_requests
from benchmarks.loadgen.launch import run_load
from benchmarks.loadgen.spec import ClosedLoop, LoadReport, LoadSpec, OpenLoop, Phase, Target
from benchmarks.machine import ForeignLoad
from benchmarks.payloads import Payload
from benchmarks.peers.catalogue import Row
from benchmarks.peers.contender import memory_mib, running
from benchmarks.peers.models import PeerModel
from benchmarks.peers.results import Loaded, Visit
from benchmarks.process import Server

__all__ = ["Plan", "visit"]

KEPT = 0.99
IN_TIME = 0.95
"""Share of an open loop's time in which a server has to answer what arrives in all of it."""
Payloads = tuple[Payload, ...]
"""Sent in turn, so that no server gains by having seen the very same bytes before."""

SLO_MS = 100.0
MORE_THAN_ENOUGH = 1.1
"""Arrivals are as many as they are by chance; so many times what a p99 takes are enough."""
OPEN_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """How every server is loaded."""

    connections: tuple[int, ...]
    """Of the closed loops, one after the other."""
    closed_s: float
    rates: tuple[int, ...]
    """Of the open loops, requests a second."""
    open_s: float
    """At least; longer at a rate that takes longer for a p99."""
    warmup_s: float
    seed: int
    grace_s: float = 5.0
    """How long the last answers are waited for."""

    def open_at_s(self, rate: int) -> float:
        """How long an open loop at this rate lasts."""
        return max(self.open_s, MORE_THAN_ENOUGH * enough_requests() / rate)


def visit(
    row: Row, model: PeerModel, number: int, plan: Plan, scratch: Path, say: Callable[[str], None]
) -> Visit:
    """Never raises for what the peer does wrong: that is the visit's ``failure``."""
    start_s, memory, loads, failure = 0.0, 0.0, [], ""
    started = time.perf_counter()
    try:
        say("starting")
        with running(row, model, scratch) as server:
            start_s = time.perf_counter() - started
            payloads = tuple(row.route.payload(model, record) for record in model.records)
            for loaded in _loads(server, payloads, plan, say):
                loads.append(loaded)
            memory = memory_mib(server)
    except (OSError, RuntimeError, ValueError, psutil.Error) as error:
        failure = f"{type(error).__name__}: {error}"
    return Visit(
        peer=row.peer,
        row=row.row,
        model=model.name,
        round=number,
        start_s=round(start_s, 2),
        memory_mib=round(memory, 1),
        loads=tuple(loads),
        failure=failure,
        took_s=round(time.perf_counter() - started, 1),
    )


def _loads(
    server: Server, payloads: Payloads, plan: Plan, say: Callable[[str], None]
) -> Iterator[Loaded]:
    say("warming up")
    run_load(_closed(server, payloads, 64, plan.warmup_s, plan.grace_s))
    for connections in plan.connections:
        say(f"{connections} connections")
        spec = _closed(server, payloads, connections, plan.closed_s, plan.grace_s)
        yield _measured(f"closed-{connections}", server, spec)
    for rate in plan.rates:
        say(f"{rate} requests/s")
        load = OpenLoop(phases=(Phase("fixed", rate, plan.open_at_s(rate)),), seed=plan.seed)
        spec = _spec(server, payloads, load, OPEN_CONNECTIONS, plan.grace_s)
        yield _measured(f"open-{rate}", server, spec)


def _spec(
    server: Server,
    payloads: Payloads,
    load: ClosedLoop | OpenLoop,
    connections: int,
    grace_s: float,
) -> LoadSpec:
    return LoadSpec(
        target=Target(port=server.port),
        payloads=payloads,
        load=load,
        connections=connections,
        slo_ms=SLO_MS,
        grace_s=grace_s,
    )


def _closed(
    server: Server, payloads: Payloads, connections: int, duration_s: float, grace_s: float
) -> LoadSpec:
    return _spec(server, payloads, ClosedLoop(duration_s=duration_s), connections, grace_s)


def _measured(name: str, server: Server, spec: LoadSpec) -> Loaded:
    foreign = ForeignLoad()
    cpu_start_s = server.cpu_s()
    report = run_load(spec)
    cpu_s = server.cpu_s() - cpu_start_s
    total = report.total
    return Loaded(
        load=name,
        offered=total.offered,
        ok=total.ok,
        not_ok=total.offered - total.ok,
        ok_per_s=round(total.ok_per_s, 1),
        p50_ms=total.latency_ms.p50,
        p99_ms=total.latency_ms.p99,
        cpu_us=round(cpu_s / max(1, total.ok) * 1e6, 1),
        foreign_share=round(foreign.share(cpu_s), 3),
        kept=isinstance(spec.load, ClosedLoop) or _kept(report),
        doubts=report.health.reasons,
    )


def _kept(report: LoadReport) -> bool:
    if not report.timeline:
        return True
    # What the last arrivals had to wait is the backlog that was left when they came.
    backlog_ms = report.timeline[-1].p50_ms
    in_time = backlog_ms <= (1.0 - IN_TIME) * report.total.duration_s * 1e3
    return in_time and report.total.ok >= KEPT * report.total.offered
