"""How many requests were at most how slow."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gates.distribution import Distribution
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Log, Nines, short

__all__ = ["Limit", "cdf"]

Limit = tuple[float, float]
"""A percentile as a part of 1, and the milliseconds it must keep."""


def cdf(seen: Distribution, limits: Sequence[Limit] = ()) -> Canvas:
    """Latency on a logarithmic axis against the part of the requests, stretched by nines."""
    parts = seen.quantiles()
    highest = max([float(seen.values_ms[-1]), *(limit for _, limit in limits)])
    canvas = Canvas("Latency distribution", _words(seen))
    top = min(0.99999, 1 - 1 / max(10, seen.total))
    x = Log(max(0.01, float(seen.values_ms[0])), highest, canvas.left, canvas.right)
    y = Nines(top, canvas.bottom, canvas.top + 14)
    canvas.axes(
        x, y, "latency in ms, from the intended send time", "% of the requests", grid_x=True
    )
    points = []
    below = 0.0
    for value, part in zip(seen.values_ms.tolist(), parts.tolist(), strict=True):
        points += [(x.at(value), y.at(below)), (x.at(value), y.at(part))]
        below = part
    canvas.path(_thinned(points), "series a")
    for percentile, limit in limits:
        at = (x.at(limit), y.at(percentile))
        canvas.line((at[0], canvas.bottom), (at[0], at[1]), "limit")
        canvas.dot(at, "limit-dot", f"limit: p{percentile * 100:g} {limit:g} ms")
        side = -6 if at[0] > (canvas.left + canvas.right) / 2 else 6
        canvas.text(
            (at[0] + side, canvas.bottom - 6),
            f"p{percentile * 100:g} limit {short(limit)} ms",
            "limit-label",
            "end" if side < 0 else "start",
        )
    return canvas


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the points that fall on the one before: a screen has no more."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if not kept or abs(point[0] - kept[-1][0]) > 0.25 or abs(point[1] - kept[-1][1]) > 0.25:
            kept.append(point)
    return [*kept, points[-1]] if points else []


def _words(seen: Distribution) -> str:
    parts = seen.quantiles()
    texts = []
    for name, part in (("half", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999)):
        index = min(int(parts.searchsorted(part)), len(parts) - 1)
        texts.append(f"{name} within {seen.values_ms[index]:.3g} ms")
    return f"Of {seen.total:,} answered requests, {', '.join(texts)}."
