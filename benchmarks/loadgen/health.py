"""Whether a generator drove the load honestly; if not, what it measured proves nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.loadgen import histogram
from benchmarks.loadgen.outcomes import Part
from benchmarks.loadgen.spec import ClosedLoop, Health, LoadSpec, PhaseReport

__all__ = ["PERCENTILE", "check", "enough_requests", "late_s", "too_few"]

LATE_PART_OF_SLO = 0.05
MAX_LATE_SHARE = 0.01
MAX_CPU_SHARE = 0.85
MAX_CPU_SHARE_CLOSED = 0.97
"""A closed loop slows down with its generator, and is only the server's limit short of that."""
MIN_ACHIEVED = 0.99
PERCENTILE, CONFIDENCE = 0.99, 0.99


def late_s(slo_ms: float) -> float:
    """From when on a request counts as sent too late."""
    return slo_ms / 1e3 * LATE_PART_OF_SLO


def enough_requests(percentile: float = PERCENTILE, confidence: float = CONFIDENCE) -> int:
    """Fewer say nothing of a percentile, even if every one of them kept the limit.

    The floor of MLPerf's early stopping: so many, that if the percentile were missed, not seeing
    a single request over the limit would be less likely than 1 − ``confidence``.
    """
    return math.ceil(math.log(1 - confidence) / math.log(percentile))


def too_few(requests: int) -> str:
    """The reason for a percentile of so few requests to be no proof."""
    return f"{requests:,} requests are too few for a p99: at least {enough_requests()} are needed"


def check(spec: LoadSpec, parts: Sequence[Part], total: PhaseReport) -> Health:
    """The health of a run that several processes drove."""
    lag = histogram.latency(histogram.merge(part.lag_histogram for part in parts))
    scheduled = sum(part.scheduled for part in parts)
    dealt_with = sum(part.dealt_with for part in parts)
    late_share = sum(part.late for part in parts) / max(1, scheduled)
    cpu_share = max(part.cpu_share for part in parts)
    closed = isinstance(spec.load, ClosedLoop)
    floor = enough_requests()
    reasons = []
    limit_ms = late_s(spec.slo_ms) * 1e3
    if late_share > MAX_LATE_SHARE:
        reasons.append(
            f"the load generator sent {late_share:.1%} of the requests more than {limit_ms:g} ms"
            f" late (p99 {lag.p99:.1f} ms)"
        )
    if not closed and dealt_with < MIN_ACHIEVED * scheduled:
        reasons.append(
            f"the load generator came to {dealt_with:,} of {scheduled:,} requests in time"
        )
    if cpu_share > (limit := MAX_CPU_SHARE_CLOSED if closed else MAX_CPU_SHARE):
        reasons.append(
            f"the load generator used {cpu_share:.0%} of a core, more than {limit:.0%}:"
            " give it more processes, or ask for less"
        )
    # A closed loop is mostly there for throughput and CPU, which need no percentile.
    given_up = any(part.given_up for part in parts)
    if not closed and not given_up and total.offered < floor:
        reasons.append(too_few(total.offered))
    return Health(
        send_lag_ms=lag,
        late_share=late_share,
        waited_share=sum(part.waited for part in parts) / max(1, scheduled),
        cpu_share=cpu_share,
        scheduled_per_s=total.per_s(scheduled),
        achieved_per_s=total.per_s(dealt_with),
        enough_requests=total.offered >= floor,
        reasons=tuple(reasons),
    )
