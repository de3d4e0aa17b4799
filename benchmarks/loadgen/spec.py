"""What a load generator is told, and what it reports.

``benchmarks.loadgen.launch.run_load`` takes a ``LoadSpec`` and gives a ``LoadReport``. Both are
plain data, because the generators are processes of their own.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from benchmarks.measurement import Slice
from benchmarks.payloads import Payload

__all__ = [
    "Bounds",
    "ClosedLoop",
    "Health",
    "Latency",
    "LoadReport",
    "LoadSpec",
    "OpenLoop",
    "Phase",
    "PhaseReport",
    "Protocol",
    "Target",
]

Protocol = Literal["http", "grpc", "grpc_stream"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the requests go: the HTTP port, or the gRPC port for both kinds of gRPC."""

    port: int
    host: str = "127.0.0.1"
    protocol: Protocol = "http"


class Phase(msgspec.Struct, frozen=True):
    """A stretch of time whose rate of arrivals is constant, or changes evenly (a ramp)."""

    name: str
    rate_per_s: float
    duration_s: float
    end_rate_per_s: float | None = None
    """The rate at its end; the same as at its start unless given."""
    measured: bool = True
    """Whether it counts: warm-up does not."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of the requests after the warm-up that a load may have, and no more."""

    slow_share: float
    """Slower than the SLO."""
    bad_share: float
    """Refused or failed."""


class OpenLoop(msgspec.Struct, frozen=True, tag="open", kw_only=True):
    """Requests at times fixed beforehand, whatever the server does (``profiles`` makes phases)."""

    phases: tuple[Phase, ...]
    arrivals: Literal["poisson", "constant"] = "poisson"
    seed: int = 20261123
    """The same seed gives the same arrivals, however many processes share them."""
    give_up: Bounds | None = None
    """Stop as soon as it is certain to be beyond one of these at its end."""


class ClosedLoop(msgspec.Struct, frozen=True, tag="closed", kw_only=True):
    """Each connection sends its next request when the last one is answered."""

    duration_s: float
    warmup_s: float = 0.0
    tool: Literal["own", "wrk", "auto"] = "own"
    """``wrk``: HTTP and a single payload only; ``auto``: wrk where it is installed and can."""


class LoadSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One run of load on one server."""

    target: Target
    payloads: tuple[Payload, ...]
    """Sent in turn; for the target's protocol, all of them."""
    load: OpenLoop | ClosedLoop
    connections: int = 64
    """Most requests under way at once, over all processes. HTTP: connections; gRPC stream:
    streams; gRPC: calls. A request that is due while all are taken waits, and that wait counts."""
    channels: int = 4
    """HTTP/2 connections that the gRPC calls or streams of a process share."""
    processes: int = 1
    slo_ms: float = 100.0
    """What "good" means, and how late a generator may be (5 % of it)."""
    grace_s: float = 5.0
    """How long to wait for answers after the last arrival."""
    slice_s: float = 1.0
    """Width of a slice of the timeline."""
    expected: tuple[tuple[bytes, ...], ...] = ()
    """For each payload the bodies that answer it well, any of which will do: see ``Checker``. An
    answer that is none of them has failed, as "wrong". Empty: the status is all that is looked at.
    Over HTTP, for JSON."""
    tell_apart: bool = False
    """Whether ``PhaseReport.statuses`` says which of them each answer was: "answer 0" is the first.
    Those that are alike count as the first of them."""


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in milliseconds, to three significant digits; all 0 where there was nothing."""

    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class PhaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """The fate of the requests that were due in one phase (closed loop: sent in it)."""

    name: str
    duration_s: float
    measured: bool = True
    offered: int
    ok: int
    good: int
    """Answered well within the SLO."""
    refused: int
    """HTTP 429 and 503; gRPC RESOURCE_EXHAUSTED and UNAVAILABLE."""
    failed: int
    """Everything else, unanswered and lost requests included."""
    refusals_without_hint: int = 0
    """503 without a Retry-After header; HTTP only."""
    statuses: dict[str, int]
    """By HTTP status or gRPC code; "lost": no answer; "wrong": another than was expected."""
    latency_ms: Latency
    """Of good answers, from the intended send time (closed loop: from when it was sent)."""
    histogram: str
    """The same, in whole µs: HdrHistogram V2, base64."""

    @property
    def ok_per_s(self) -> float:
        return self.per_s(self.ok)

    @property
    def good_per_s(self) -> float:
        return self.per_s(self.good)

    def answers(self, number: int) -> int:
        """How many answers were the expected ones of this number; see ``LoadSpec.tell_apart``."""
        return self.statuses.get(f"answer {number}", 0)

    @property
    def wrong(self) -> int:
        """Answers that were looked at and are not the right ones."""
        return self.statuses.get("wrong", 0)

    def per_s(self, count: int) -> float:
        """So many as a rate; 0 where the phase was interrupted before it began."""
        return count / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def error_rate(self) -> float:
        """Part of the offered requests that were neither answered well nor refused."""
        return self.failed / max(1, self.offered)

    @property
    def refused_rate(self) -> float:
        return self.refused / max(1, self.offered)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How well the generator kept its own schedule; over all its processes, the worst of them."""

    send_lag_ms: Latency = Latency()
    """From when a request was due to when the generator got round to it."""
    late_share: float = 0.0
    """Part of the arrivals that it got round to too late: by 5 % of the SLO."""
    waited_share: float = 0.0
    """Part of the arrivals that found every connection taken; the server's doing, not ours."""
    cpu_share: float = 0.0
    """Of one core, by the busiest process; NaN where the tool does not tell."""
    scheduled_per_s: float = 0.0
    achieved_per_s: float = 0.0
    """Requests dealt with inside the schedule's own time."""
    enough_requests: bool = True
    """Whether there were enough to say anything of a p99 (early stopping, 99 % confidence)."""
    reasons: tuple[str, ...] = ()
    """Why the load was not driven honestly: belongs into ``Measurement.invalid``. Empty if fine."""


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of load saw."""

    tool: str
    phases: tuple[PhaseReport, ...]
    total: PhaseReport
    """All measured phases together."""
    timeline: tuple[Slice, ...] = ()
    """Every phase, warm-up included; from the start of the first one."""
    health: Health
    interrupted: bool = False
    given_up: bool = False
    """Whether it was stopped because it was certain to be beyond its bounds."""

    @property
    def answered(self) -> int:
        """Requests that the server did something for, warm-up and stragglers included: what its
        CPU over the run is divided by."""
        return sum(phase.offered - phase.statuses.get("lost", 0) for phase in self.phases)

    def phase(self, name: str) -> PhaseReport:
        """One phase by name."""
        return next(phase for phase in self.phases if phase.name == name)
