"""Starts a load generator in its own process and waits for what it has to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.loadgen import wrk
from benchmarks.loadgen.spec import ClosedLoop, LoadResult, OpenLoop, OpenResult, Phase
from benchmarks.payloads import Payload

__all__ = ["closed_loop", "open_loop"]


def closed_loop(
    port: int, payload: Payload, folder: Path, *, connections: int, duration_s: int
) -> LoadResult:
    """As fast as ``connections`` callers get answers: wrk, or our own where that is missing."""
    if wrk.available():
        return wrk.run(port, payload, folder, connections=connections, duration_s=duration_s)
    spec = ClosedLoop(
        port=port,
        request_file=str(payload.write(folder)),
        connections=connections,
        duration_s=duration_s,
    )
    return msgspec.json.decode(_generate(spec), type=LoadResult)


def open_loop(
    port: int,
    payload: Payload,
    folder: Path,
    *,
    connections: int,
    phases: tuple[Phase, ...],
    slo_ms: float,
    seed: int,
) -> OpenResult:
    """Poisson arrivals at the rates of ``phases``, one after the other."""
    spec = OpenLoop(
        port=port,
        request_file=str(payload.write(folder)),
        connections=connections,
        phases=phases,
        slo_ms=slo_ms,
        seed=seed,
    )
    return msgspec.json.decode(_generate(spec), type=OpenResult)


def _generate(spec: OpenLoop | ClosedLoop) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.loadgen"],
        input=msgspec.json.encode(spec),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
