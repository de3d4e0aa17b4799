"""The parts that several generators saw, as one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.loadgen import health, histogram
from benchmarks.loadgen.outcomes import Part, SlicePart
from benchmarks.loadgen.spec import LoadReport, LoadSpec, PhaseReport
from benchmarks.measurement import Slice

__all__ = ["report"]


def report(spec: LoadSpec, parts: Sequence[Part]) -> LoadReport:
    """Counts add up, histograms merge; percentiles come from what is merged."""
    names = dict.fromkeys(phase.name for part in parts for phase in part.phases)
    phases = [
        _together(name, [phase for part in parts for phase in part.phases if phase.name == name])
        for name in names
    ]
    measured = [phase for phase in phases if phase.measured]
    total = _together("total", measured, sum(phase.duration_s for phase in measured))
    return LoadReport(
        tool=f"penstock {parts[0].tool}" + (f", {len(parts)} processes" * (len(parts) > 1)),
        phases=tuple(phases),
        total=total,
        timeline=_timeline([one for part in parts for one in part.slices], spec.slice_s),
        health=health.check(spec, parts, total),
        interrupted=any(part.interrupted for part in parts),
        given_up=any(part.given_up for part in parts),
    )


def _together(
    name: str, phases: Sequence[PhaseReport], duration_s: float | None = None
) -> PhaseReport:
    """The sum; without a duration, of phases that were at the same time."""
    merged = histogram.merge(phase.histogram for phase in phases)
    statuses: Counter[str] = Counter()
    for phase in phases:
        statuses.update(phase.statuses)
    if duration_s is None:
        duration_s = max(phase.duration_s for phase in phases)
    return PhaseReport(
        name=name,
        duration_s=duration_s,
        measured=all(phase.measured for phase in phases),
        offered=sum(phase.offered for phase in phases),
        ok=sum(phase.ok for phase in phases),
        good=sum(phase.good for phase in phases),
        refused=sum(phase.refused for phase in phases),
        failed=sum(phase.failed for phase in phases),
        refusals_without_hint=sum(phase.refusals_without_hint for phase in phases),
        statuses=dict(statuses),
        latency_ms=histogram.latency(merged),
        histogram=merged,
    )


def _timeline(parts: Sequence[SlicePart], width_s: float) -> tuple[Slice, ...]:
    timeline = []
    for number in sorted({part.number for part in parts}):
        mine = [part for part in parts if part.number == number]
        latency = histogram.latency(histogram.merge(part.histogram for part in mine))
        timeline.append(
            Slice(
                start_s=round(number * width_s, 6),
                offered=sum(part.offered for part in mine),
                ok=sum(part.ok for part in mine),
                refused=sum(part.refused for part in mine),
                failed=sum(part.failed for part in mine),
                p50_ms=latency.p50,
                p99_ms=latency.p99,
                max_ms=latency.max,
            )
        )
    return tuple(timeline)
