"""What a load generator is told, and what it answers: JSON on standard input and output."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "ClosedLoop",
    "Latency",
    "LoadResult",
    "OpenLoop",
    "OpenResult",
    "Phase",
    "PhaseResult",
    "Slice",
]


class Phase(msgspec.Struct, frozen=True):
    """A stretch of time with one rate of arrivals."""

    name: str
    rate_per_s: float
    duration_s: float


class OpenLoop(msgspec.Struct, frozen=True, tag="open", kw_only=True):
    """Requests at times fixed beforehand, whatever the server does."""

    port: int
    request_file: str
    """The whole HTTP request, headers and body."""
    connections: int
    phases: tuple[Phase, ...]
    arrivals: Literal["poisson", "constant"] = "poisson"
    seed: int = 20261123
    slo_ms: float
    grace_s: float = 5.0
    """How long to wait for answers after the last arrival."""
    slice_ms: float = 100.0
    """Width of a slice of the timeline."""


class ClosedLoop(msgspec.Struct, frozen=True, tag="closed", kw_only=True):
    """Each connection sends its next request when the last one is answered."""

    port: int
    request_file: str
    connections: int
    duration_s: float


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in milliseconds; all 0 where nothing was answered."""

    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """The fate of the requests that were due in one phase."""

    name: str
    duration_s: float
    offered: int
    statuses: dict[str, int]
    """By HTTP status; "0": connection lost or no answer."""
    good: int
    """Answered 2xx within the SLO."""
    refusals_without_hint: int
    """503 without a Retry-After header."""
    latency_ms: Latency
    """Of 2xx answers, from the intended send time."""

    @property
    def good_per_s(self) -> float:
        return self.good / self.duration_s

    def share(self, status: str) -> float:
        """Part of the offered requests that got this status."""
        return self.statuses.get(status, 0) / max(1, self.offered)


class Slice(msgspec.Struct, frozen=True):
    """A moment of the timeline, by intended send time."""

    start_s: float
    ok: int
    other: int
    worst_ms: float
    """Slowest 2xx answer."""


class OpenResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an open-loop run saw, and whether the generator kept its own times."""

    phases: tuple[PhaseResult, ...]
    timeline: tuple[Slice, ...]
    lag_ms: Latency
    """From the intended send time to when the generator got round to it."""
    late_share: float
    """Part of the arrivals that the generator got round to too late (5 % of the SLO)."""
    client_cpu_s: float

    def phase(self, name: str) -> PhaseResult:
        """One phase by name."""
        return next(phase for phase in self.phases if phase.name == name)


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a closed-loop run saw."""

    tool: str
    requests: int
    failed: int
    """Not answered, or answered with something else than 2xx."""
    duration_s: float
    p50_ms: float
    p99_ms: float

    @property
    def ok_per_s(self) -> float:
        return (self.requests - self.failed) / self.duration_s
