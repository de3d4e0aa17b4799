"""What a scenario hands back: metrics, rounds, and how trustworthy they are. It judges nothing.

Scenarios measure, gates judge (``benchmarks.gates``) and reports show (``benchmarks.report``);
this module is all that the three share.

Metric names are dotted and end in their unit or are ratios: ``latency_ms.p50|p90|p99|p999|max``,
``rate_per_s.offered|achieved|ok``, ``goodput_per_s``, ``error_rate``, ``refused_rate``,
``requests``, ``server_cpu_us_per_req``, ``server_rss_mib.start|end|peak``, and what a scenario
documents as its own in its first lines.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["CurvePoint", "Measurement", "NoiseSample", "Round", "Slice"]


class NoiseSample(msgspec.Struct, frozen=True):
    """How disturbed the machine was at a moment of the run."""

    at_s: float
    """Seconds since the scenario began."""
    foreign_share: float
    """Part of the machine's CPU that neither the servers nor the generators used, 0 to 1."""
    psi_some: float
    """CPU pressure (``some``) of the interval, 0 to 1; NaN where the kernel does not tell.

    Less the time that the servers and the generators themselves waited for a core: they compete
    with each other, which is no disturbance.
    """


class Slice(msgspec.Struct, frozen=True):
    """A moment of the timeline, by intended send time."""

    start_s: float
    offered: int
    ok: int
    refused: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class CurvePoint(msgspec.Struct, frozen=True):
    """One point of a throughput–latency curve, or of a sweep over a size."""

    x: float
    """Offered rate in requests a second, or the swept size."""
    achieved_per_s: float
    p50_ms: float
    p99_ms: float
    verdict: Literal["", "kept", "missed", "invalid"] = ""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One interleaved turn of one contender; rounds of equal ``number`` are pairs."""

    contender: Literal["candidate", "baseline"]
    number: int
    metrics: dict[str, float]
    quiet: bool
    """Whether throughput and p99 of this round may be compared."""
    start: int = 0
    """Which processes of the two: rounds of one start share the luck of its processes."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at one scenario."""

    scenario: str
    params: dict[str, Any]
    metrics: dict[str, float]
    rounds: tuple[Round, ...] = ()
    histogram: str = ""
    """Latency of good answers from the intended send time: HdrHistogram V2, base64, in µs."""
    timeline: tuple[Slice, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    curve_axis: str = "requests/s offered"
    batch_rows: dict[int, int] = {}
    """Executed batches by upper bound of their rows, from the server's metrics."""
    noise: tuple[NoiseSample, ...] = ()
    duration_s: float = 0.0
    invalid: tuple[str, ...] = ()
    """Why this attempt proves nothing; empty for an honest one."""
    inconclusive: tuple[str, ...] = ()
    """Why it decides nothing although it is honest, and what it shows; empty where it decides."""
    unsupported: str = ""
    """Why the scenario cannot be run on this server; nothing was measured then."""
    notes: tuple[str, ...] = ()
