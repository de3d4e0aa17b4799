"""The run second by second: latency above, answers below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmarks.measurement import Slice
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Linear, Log

__all__ = ["timeline"]

HEIGHT, SPLIT = 300, 168
"""The upper panel ends at SPLIT."""


def timeline(slices: Sequence[Slice]) -> Canvas:
    """p50, p99 and the slowest by intended send time; below, how requests ended a second."""
    canvas = Canvas("Timeline", _words(slices), HEIGHT)
    widths = [later.start_s - one.start_s for one, later in pairwise(slices)]
    width_s = widths[0] if widths else 1.0
    until_s = slices[-1].start_s + width_s
    x = Linear(slices[0].start_s, until_s, canvas.left, canvas.right, about=5, exact=True)
    _latency(canvas, slices, x, width_s)
    rates = [(one.ok + one.refused + one.failed) / width_s for one in slices]
    y = Linear(0, max([*rates, 1.0]), canvas.bottom, SPLIT + 26, about=3)
    canvas.axes(x, y, "seconds since the start, by intended send time", "")
    canvas.text((canvas.left + 4, SPLIT + 18), "answers a second", "name")
    for one in slices:
        left, right = x.at(one.start_s), x.at(one.start_s + width_s)
        below = 0.0
        for count, kind in (
            (one.ok, "bar ok"),
            (one.refused, "bar refused"),
            (one.failed, "bar bad"),
        ):
            low, high = y.at(below), y.at(below + count / width_s)
            canvas.box(left + 0.4, high, max(0.5, right - left - 0.8), low - high, kind)
            below += count / width_s
    return canvas


def _latency(canvas: Canvas, slices: Sequence[Slice], x: Linear, width_s: float) -> None:
    answered = [one for one in slices if one.ok]
    if not answered:
        return
    fastest = min((one.p50_ms for one in answered if one.p50_ms > 0), default=0.1)
    y = Log(fastest, max(one.max_ms for one in answered), SPLIT, canvas.top + 14)
    for value, label in y.ticks():
        at = y.at(value)
        canvas.line((canvas.left, at), (canvas.right, at), "grid")
        canvas.text((canvas.left - 6, at + 4), label, anchor="end")
    canvas.text((canvas.left + 4, canvas.top + 2), "ms", "name")
    middle = [x.at(one.start_s + width_s / 2) for one in answered]
    for kind, values in (
        ("series c", [one.max_ms for one in answered]),
        ("series b", [one.p50_ms for one in answered]),
        ("series a", [one.p99_ms for one in answered]),
    ):
        points = list(zip(middle, map(y.at, values), strict=True))
        canvas.path(points, kind)


def _words(slices: Sequence[Slice]) -> str:
    worst = max(slices, key=lambda one: one.p99_ms)
    lost = sum(one.refused + one.failed for one in slices)
    return (
        f"{len(slices)} slices; the slowest p99, {worst.p99_ms:.3g} ms, was at"
        f" {worst.start_s:.0f} s; {lost:,} requests were refused or failed."
    )
