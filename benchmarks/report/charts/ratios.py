"""Candidate over baseline, pair by pair, with the interval that decides."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.gates.findings import Finding
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Linear

__all__ = ["ratios"]


def ratios(pairs: Sequence[tuple[int, float, float]], finding: Finding) -> Canvas:
    """A dot for each pair; the band is the interval, the line the limit."""
    values = [(number, candidate / baseline) for number, candidate, baseline in pairs if baseline]
    known = [ratio for _, ratio in values] + [1.0, finding.limit * 1.005, finding.limit * 0.995]
    known += [end for end in (finding.low, finding.high) if math.isfinite(end)]
    canvas = Canvas(
        f"{finding.metric}, candidate / baseline",
        f"{len(values)} pairs of rounds; {finding.reason}.",
    )
    low = math.floor(min(known) * 20) / 20
    y = Linear(low, max(known), canvas.bottom, canvas.top + 14)
    x = Linear(0, max([number for number, _ in values], default=0) + 1, canvas.left, canvas.right)
    canvas.axes(x, y, "round", "candidate / baseline")
    if math.isfinite(finding.low):
        top, bottom = y.at(finding.high), y.at(finding.low)
        canvas.box(canvas.left, top, canvas.right - canvas.left, max(1.0, bottom - top), "band")
        middle = y.at(finding.value)
        canvas.line((canvas.left, middle), (canvas.right, middle), "series a")
    canvas.line((canvas.left, y.at(1.0)), (canvas.right, y.at(1.0)), "axis")
    limit = y.at(finding.limit)
    canvas.line((canvas.left, limit), (canvas.right, limit), "limit")
    canvas.text((canvas.right - 2, limit - 5), f"limit {finding.limit:g}", "limit-label", "end")
    for number, ratio in values:
        canvas.dot(
            (x.at(number + 0.5), y.at(ratio)), "mark-good", f"{number + 1}: {ratio:.3f}", 2.5
        )
    return canvas
