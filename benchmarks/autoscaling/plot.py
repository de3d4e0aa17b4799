"""The trace second by second: load and replicas, latency, money."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.autoscaling.outcome import Slice
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Linear, Log

__all__ = ["cost", "latency", "load", "replicas"]

HOURS_FROM_S = 3 * 3600
HOUR_S = 3600


def load(slices: Sequence[Slice], until_s: int) -> Canvas:
    """What is asked for, what the replicas that are ready could do, and what is refused."""
    refused = sum(one.refused_per_s > 0 for one in slices)
    canvas = Canvas(
        "Load",
        f"At most {max(one.asked_per_s for one in slices):,.0f} predictions a second, against a"
        f" capacity of at most {max(one.capacity_per_s for one in slices):,.0f}; some are refused"
        f" in {refused} of {len(slices)} parts of the time.",
    )
    x = _time(canvas, until_s)
    highest = max(max(one.asked_per_s, one.capacity_per_s) for one in slices)
    y = Linear(0, highest, canvas.bottom, canvas.top + 14)
    canvas.axes(x, y, _unit(until_s), "predictions a second")
    width = (canvas.right - canvas.left) / len(slices)
    for index, one in enumerate(slices):
        if one.refused_per_s > 0:
            high = min(y.at(one.refused_per_s), canvas.bottom - 2)
            canvas.box(
                canvas.left + index * width, high, max(1.0, width), canvas.bottom - high, "bar bad"
            )
    canvas.path(_steps(x, y, slices, [one.capacity_per_s for one in slices], until_s), "series b")
    canvas.path(_steps(x, y, slices, [one.asked_per_s for one in slices], until_s), "series a")
    return canvas


def replicas(slices: Sequence[Slice], until_s: int, fixed: int) -> Canvas:
    """Replicas that are paid for, those of them that are ready, and a fixed number's."""
    canvas = Canvas(
        "Replicas",
        f"From {min(one.paid for one in slices):.0f} to {max(one.paid for one in slices):.0f};"
        f" {fixed} would carry the peak.",
    )
    x = _time(canvas, until_s)
    y = Linear(0, max(fixed, *(one.paid for one in slices)), canvas.bottom, canvas.top + 14)
    canvas.axes(x, y, _unit(until_s), "replicas")
    _limit(canvas, y.at(fixed), f"fixed: {fixed}")
    canvas.path(_steps(x, y, slices, [one.ready for one in slices], until_s), "series b")
    canvas.path(_steps(x, y, slices, [one.paid for one in slices], until_s), "series a")
    return canvas


def latency(slices: Sequence[Slice], until_s: int, target_ms: float | None) -> Canvas:
    """p50 and p99 of what was answered."""
    known = [one for one in slices if one.p50_ms is not None and one.p99_ms is not None]
    p50 = [one.p50_ms or 0.0 for one in known]
    p99 = [one.p99_ms or 0.0 for one in known]
    words = f"p99 from {min(p99):.3g} to {max(p99):.3g} ms." if known else "Nothing is answered."
    canvas = Canvas("Latency", words)
    x = _time(canvas, until_s)
    slowest = max([*p99, target_ms or 0.0, 1e-3])
    y = Log(min([*p50, slowest]) or 1e-3, slowest, canvas.bottom, canvas.top + 14)
    canvas.axes(x, y, _unit(until_s), "ms")
    if target_ms is not None:
        _limit(canvas, y.at(target_ms), f"target {target_ms:g} ms")
    step = until_s / len(slices)
    for kind, values in (("series b", p50), ("series a", p99)):
        run: list[tuple[float, float]] = []
        for index, (one, value) in enumerate(zip(known, values, strict=True)):
            if index and one.start_s - known[index - 1].start_s > 1.5 * step:
                canvas.path(run, kind)  # nothing is answered in between
                run = []
            run += [(x.at(one.start_s), y.at(value)), (x.at(one.start_s + step), y.at(value))]
        canvas.path(run, kind)
    return canvas


def cost(slices: Sequence[Slice], until_s: int, fixed_usd_per_hour: float) -> Canvas:
    """Dollars an hour, against those of a fixed number of replicas for the peak."""
    dearest = max(one.usd_per_hour for one in slices)
    canvas = Canvas(
        "Cost", f"At most ${dearest:.2f} an hour; ${fixed_usd_per_hour:.2f} for the peak all along."
    )
    x = _time(canvas, until_s)
    y = Linear(0, max(dearest, fixed_usd_per_hour), canvas.bottom, canvas.top + 14)
    canvas.axes(x, y, _unit(until_s), "$ an hour")
    _limit(canvas, y.at(fixed_usd_per_hour), "fixed")
    line = _steps(x, y, slices, [one.usd_per_hour for one in slices], until_s)
    canvas.area([(line[0][0], y.at(0)), *line, (line[-1][0], y.at(0))], "band")
    canvas.path(line, "series a")
    return canvas


def _unit(until_s: int) -> str:
    return "hours" if until_s >= HOURS_FROM_S else "minutes"


def _time(canvas: Canvas, until_s: int) -> _Time:
    unit_s = HOUR_S if until_s >= HOURS_FROM_S else 60
    return _Time(
        Linear(0, until_s / unit_s, canvas.left, canvas.right, about=6, exact=True), unit_s
    )


class _Time:
    """An axis that is given seconds, and labelled in a larger unit."""

    def __init__(self, axis: Linear, unit_s: int) -> None:
        self._axis = axis
        self._unit_s = unit_s

    def at(self, value: float) -> float:
        return self._axis.at(value / self._unit_s)

    def ticks(self) -> Sequence[tuple[float, str]]:
        return [(value * self._unit_s, label) for value, label in self._axis.ticks()]


def _steps(
    x: _Time, y: Linear, slices: Sequence[Slice], values: Sequence[float], until_s: int
) -> list[tuple[float, float]]:
    ends = [*(one.start_s for one in slices[1:]), until_s]
    points = []
    for one, end, value in zip(slices, ends, values, strict=True):
        points += [(x.at(one.start_s), y.at(value)), (x.at(end), y.at(value))]
    return points


def _limit(canvas: Canvas, at: float, words: str) -> None:
    canvas.line((canvas.left, at), (canvas.right, at), "limit")
    under = 15 if at < canvas.top + 30 else -5
    canvas.text((canvas.left + 4, at + under), words, "limit-label")
