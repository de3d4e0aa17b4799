"""What became of each request of one generator, and the sums over it, made in one pass at the end.

Columns with an element a request; plain lists, because the generators write single elements.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.loadgen import histogram
from benchmarks.loadgen.spec import Phase, PhaseReport
from benchmarks.loadgen.wire import is_ok, is_refused, status_name

__all__ = ["Part", "SlicePart", "phase_report", "slices"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


class SlicePart(msgspec.Struct, frozen=True, kw_only=True):
    """One generator's share of a slice of the timeline."""

    number: int
    offered: int
    ok: int
    refused: int
    failed: int
    histogram: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one generator process saw."""

    tool: str
    phases: tuple[PhaseReport, ...]
    slices: tuple[SlicePart, ...]
    lag_histogram: str
    late: int = 0
    waited: int = 0
    scheduled: int = 0
    dealt_with: int = 0
    """Of the scheduled ones, those it got round to inside the schedule's own time."""
    cpu_share: float
    interrupted: bool = False
    given_up: bool = False


def phase_report(
    phase: Phase,
    duration_s: float,
    latency_s: Floats,
    status: Integers,
    unhinted: int,
    slo_s: float,
) -> PhaseReport:
    """The sums over the requests of one phase, of which there is an element in each column."""
    ok = is_ok(status)
    counts = Counter(status.tolist())
    refused = int(is_refused(status).sum())
    latencies = histogram.encode(latency_s[ok])
    return PhaseReport(
        name=phase.name,
        duration_s=duration_s,
        measured=phase.measured,
        offered=len(status),
        ok=int(ok.sum()),
        good=int((latency_s[ok] <= slo_s).sum()),
        refused=refused,
        failed=len(status) - int(ok.sum()) - refused,
        refusals_without_hint=unhinted,
        statuses={status_name(code): count for code, count in sorted(counts.items())},
        latency_ms=histogram.latency(latencies),
        histogram=latencies,
    )


def slices(
    due_s: Floats, latency_s: Floats, status: Integers, width_s: float
) -> tuple[SlicePart, ...]:
    """The timeline, by intended send time (ascending); slices without a request are left out."""
    numbers, starts = np.unique((due_s / width_s).astype(int), return_index=True)
    parts = []
    for number, start, end in zip(numbers, starts, [*starts[1:], len(due_s)], strict=True):
        mine = status[start:end]
        ok, refused = is_ok(mine), int(is_refused(mine).sum())
        parts.append(
            SlicePart(
                number=int(number),
                offered=len(mine),
                ok=int(ok.sum()),
                refused=refused,
                failed=len(mine) - int(ok.sum()) - refused,
                histogram=histogram.encode(latency_s[start:end][ok]),
            )
        )
    return tuple(parts)
