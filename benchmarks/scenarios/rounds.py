"""Closed-loop rounds on benchmark models: what the scenarios of the server's own cost share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

from benchmarks.attempt import Attempt
from benchmarks.loadgen.spec import ClosedLoop, LoadSpec
from benchmarks.measurement import Round
from benchmarks.payloads import Payload
from benchmarks.subject import Served

__all__ = ["RoundParams", "Seen", "error_rate", "loader", "pairs"]

CONTENDERS: tuple[Literal["candidate", "baseline"], ...] = ("candidate", "baseline")
Seen = dict[str, float]
"""What one round showed."""


class RoundParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many rounds, and how long; on two cores, some minutes of them tell 3 % apart."""

    rounds: Annotated[int, msgspec.Meta(ge=1, description="Rounds that count, a contender.")] = 7
    round_s: Annotated[float, msgspec.Meta(gt=0, description="Load of one round.")] = 3.0


def loader(
    attempt: Attempt,
    params: RoundParams,
    server: Served,
    payload: Payload | tuple[Payload, ...],
    connections: int,
    what: str,
) -> Callable[[], Seen]:
    """A round of load on one server; ``quiet`` is 1 where the machine was.

    Several payloads, of equal rows, are sent in turn.
    """
    payloads = payload if isinstance(payload, tuple) else (payload,)
    spec = LoadSpec(
        target=server.target("http"),
        payloads=payloads,
        load=ClosedLoop(duration_s=params.round_s),
        connections=connections,
    )

    def load() -> Seen:
        driven = attempt.drive(server, spec, what)
        cpu_us = driven.metrics["server_cpu_us_per_req"]
        report, total = driven.report, driven.report.total
        rows = max(1, sum(phase.ok for phase in report.phases)) * payloads[0].rows
        attempt.invalid += [f"{what}: {why}" for why in report.health.reasons]
        return {
            "rate_per_s.ok": total.ok_per_s,
            "rows_per_s": total.ok_per_s * payloads[0].rows,
            "latency_ms.p50": total.latency_ms.p50,
            "latency_ms.p99": total.latency_ms.p99,
            "server_cpu_us_per_req": cpu_us,
            "server_cpu_us_per_row": cpu_us * report.answered / rows,
            "requests": total.offered,
            "failed": total.failed,
            "refused": total.refused,
            "quiet": float(driven.quiet and not report.health.reasons),
        }

    return load


def error_rate(rounds: Sequence[Seen]) -> float:
    """Part of all requests that were neither answered well nor refused."""
    return sum(one["failed"] for one in rounds) / max(1.0, sum(one["requests"] for one in rounds))


def pairs(candidate: Sequence[Seen], baseline: Sequence[Seen], prefix: str = "") -> list[Round]:
    """Rounds of two contenders, for whoever wants to judge their ratio."""
    return [
        Round(
            contender=contender,
            number=number,
            metrics={f"{prefix}{name}": value for name, value in seen.items() if name != "quiet"},
            quiet=bool(seen["quiet"]),
        )
        for number, pair in enumerate(zip(candidate, baseline, strict=True))
        for contender, seen in zip(CONTENDERS, pair, strict=True)
    ]
