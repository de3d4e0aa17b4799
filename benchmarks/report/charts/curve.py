"""Throughput against p99: where the server stops keeping up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.measurement import CurvePoint
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Linear, Log, short

__all__ = ["curve"]


def curve(points: Sequence[CurvePoint], axis: str, limit_ms: float | None = None) -> Canvas:
    """p50 and p99 over the offered rate or the swept size; marks say how each point ended."""
    known = sorted((p for p in points if math.isfinite(p.p99_ms)), key=lambda point: point.x)
    canvas = Canvas("Throughput and latency", _words(known, axis))
    slowest = max([point.p99_ms for point in known] + ([limit_ms] if limit_ms else []), default=1)
    fastest = min([point.p50_ms for point in known if point.p50_ms > 0], default=0.1)
    largest = max((point.x for point in known), default=1.0)
    smallest = min((point.x for point in known if point.x > 0), default=1.0)
    x: Linear | Log = (
        Log(smallest, largest, canvas.left, canvas.right)
        if largest / smallest > 50
        else Linear(0, largest, canvas.left, canvas.right)
    )
    y = Log(fastest, slowest, canvas.bottom, canvas.top + 14)
    canvas.axes(x, y, axis, "ms")
    if limit_ms is not None:
        level = y.at(limit_ms)
        canvas.line((canvas.left, level), (canvas.right, level), "limit")
        under = 15 if level < canvas.top + 30 else -5
        canvas.text((canvas.left + 4, level + under), f"limit {short(limit_ms)} ms", "limit-label")
    canvas.path([(x.at(p.x), y.at(p.p50_ms)) for p in known], "series b")
    canvas.path([(x.at(p.x), y.at(p.p99_ms)) for p in known if p.verdict != "invalid"], "series a")
    for point in known:
        at = (x.at(point.x), y.at(point.p99_ms))
        hint = f"{short(point.x)}: p99 {point.p99_ms:.3g} ms, {short(point.achieved_per_s)}/s done"
        if point.verdict == "missed":
            canvas.cross(at, "mark-bad", f"{hint}, missed")
        elif point.verdict == "invalid":
            canvas.dot(at, "mark-hollow", f"{hint}, invalid")
        else:
            canvas.dot(at, "mark-good", hint)
    return canvas


def _words(points: Sequence[CurvePoint], axis: str) -> str:
    texts = [
        f"{short(point.x)}: p99 {point.p99_ms:.3g} ms{' ' + point.verdict if point.verdict else ''}"
        for point in points
    ]
    return f"By {axis}: {'; '.join(texts)}."
