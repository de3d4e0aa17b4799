"""The noise strip: what others did to the machine while this was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.gates.noise import foreign_share, psi_some
from benchmarks.measurement import NoiseSample
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Linear

__all__ = ["strip"]

MOST = 90


def strip(samples: Sequence[NoiseSample], foreign_max: float) -> Canvas:
    """Foreign share as bars, pressure as a line, and the limit."""
    mean = foreign_share(samples)
    shares = [one.foreign_share for one in samples if not math.isnan(one.foreign_share)]
    canvas = Canvas(
        "Noise",
        f"Others used {mean:.0%} of the machine on average, at most {max(shares, default=0):.0%};"
        f" the limit is {foreign_max:.0%} on average.",
        150,
    )
    samples = _thinned(samples)
    last = samples[-1].at_s or 1.0
    width_s = last / len(samples)
    x = Linear(0.0, last, canvas.left, canvas.right, about=5, exact=True)
    y = Linear(0, 100, canvas.bottom, canvas.top + 14, about=2)
    canvas.axes(x, y, "seconds since the start", "% of the machine")
    for one in samples:
        right = max(x.at(one.at_s), canvas.left + 0.8)
        width = max(0.8, right - x.at(one.at_s - width_s) - 0.5)
        if not math.isnan(one.foreign_share):
            high = y.at(one.foreign_share * 100)
            kind = "bar refused" if one.foreign_share > foreign_max else "bar quiet"
            canvas.box(right - width, high, width, canvas.bottom - high, kind)
    pressure = [
        (x.at(one.at_s - width_s / 2), y.at(one.psi_some * 100))
        for one in samples
        if not math.isnan(one.psi_some)
    ]
    if pressure:
        canvas.path(pressure, "series b")
    at = y.at(foreign_max * 100)
    canvas.line((canvas.left, at), (canvas.right, at), "limit")
    return canvas


def _thinned(samples: Sequence[NoiseSample]) -> list[NoiseSample]:
    """At most as many as a screen tells apart, each the mean of its neighbours."""
    size = math.ceil(len(samples) / MOST)
    groups = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [NoiseSample(group[-1].at_s, foreign_share(group), psi_some(group)) for group in groups]
