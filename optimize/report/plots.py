"""Plots as SVG text: no script, no file beside the page, readable in the dark and in print."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

__all__ = ["Point", "bars", "lines", "scatter"]

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 28, 16, 44

Point = tuple[float, float, str, str]
"""x, y, CSS class and what it is."""


class _Axis:
    def __init__(self, values: Sequence[float], low: float, high: float, log: bool) -> None:
        self._log = log
        found = [math.log10(value) if log else value for value in values] or [0.0]
        self._least, self._most = min(found), max(found)
        margin = (self._most - self._least) * 0.08 or abs(self._most) * 0.01 or 0.05
        self._least, self._most = self._least - margin, self._most + margin
        self._low, self._high = low, high

    def at(self, value: float) -> float:
        place = math.log10(value) if self._log else value
        share = (place - self._least) / (self._most - self._least)
        return self._low + share * (self._high - self._low)

    def ticks(self) -> list[float]:
        if self._log and self._most - self._least > 1:
            return [
                10.0**power for power in range(math.ceil(self._least), math.floor(self._most) + 1)
            ]
        step = (self._most - self._least) / 4
        places = [self._least + step * index for index in range(5)]
        return [10.0**place if self._log else place for place in places]


def scatter(points: Sequence[Point], x_title: str, y_title: str) -> str:
    """Points, each with a title that shows under the pointer; x is logarithmic."""
    x = _Axis([point[0] for point in points], LEFT, WIDTH - RIGHT, log=True)
    y = _Axis([point[1] for point in points], HEIGHT - BOTTOM, TOP, log=False)
    dots = "".join(
        f'<circle class="{kind}" cx="{x.at(at_x):.1f}" cy="{y.at(at_y):.1f}" r="6">'
        f"<title>{html.escape(name)}</title></circle>"
        for at_x, at_y, kind, name in points
    )
    return _framed(x, y, x_title, y_title, dots)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_title: str, y_title: str) -> str:
    """A line a series, both axes logarithmic, the names below."""
    points = [point for each in series.values() for point in each]
    x = _Axis([point[0] for point in points], LEFT, WIDTH - RIGHT, log=True)
    y = _Axis([point[1] for point in points], HEIGHT - BOTTOM, TOP, log=True)
    drawn, names = [], []
    for index, (name, line) in enumerate(series.items()):
        kind = f"line{index % 6}"
        path = " ".join(f"{x.at(at_x):.1f},{y.at(at_y):.1f}" for at_x, at_y in line)
        drawn.append(f'<polyline class="{kind}" points="{path}"/>')
        drawn += [
            f'<circle class="{kind}" cx="{x.at(at_x):.1f}" cy="{y.at(at_y):.1f}" r="3"/>'
            for at_x, at_y in line
        ]
        names.append(f'<span class="key {kind}"></span>{html.escape(name)}')
    legend = f'<p class="legend">{"<br>".join(names)}</p>'
    return _framed(x, y, x_title, y_title, "".join(drawn)) + legend


def bars(counts: Mapping[str, int], x_title: str) -> str:
    """A bar a name, with its count on it."""
    most = max(counts.values(), default=1) or 1
    width = (WIDTH - LEFT - RIGHT) / max(len(counts), 1)
    drawn = []
    for index, (name, count) in enumerate(counts.items()):
        height = (HEIGHT - TOP - BOTTOM - 14) * count / most
        left, top = LEFT + index * width, HEIGHT - BOTTOM - height
        middle = left + width / 2
        drawn.append(
            f'<rect class="bar" x="{left + 3:.1f}" y="{top:.1f}" width="{width - 6:.1f}"'
            f' height="{height:.1f}"/>'
            f'<text x="{middle:.1f}" y="{top - 4:.1f}" text-anchor="middle">{count}</text>'
            f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{html.escape(name)}</text>"
        )
    return _svg("".join(drawn) + _x_title(x_title))


def _framed(x: _Axis, y: _Axis, x_title: str, y_title: str, inner: str) -> str:
    grid = []
    for tick in x.ticks():
        at = x.at(tick)
        grid.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        grid.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:.3g}</text>'
        )
    for tick in y.ticks():
        at = y.at(tick)
        grid.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        grid.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = (
        f'<text x="14" y="{middle}" transform="rotate(-90 14 {middle})"'
        f' text-anchor="middle">{html.escape(y_title)}</text>'
    )
    return _svg(f"<g>{''.join(grid)}</g>{inner}{_x_title(x_title)}{turned}")


def _x_title(title: str) -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2
    return f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(title)}</text>'


def _svg(inner: str) -> str:
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{inner}</svg>'
    return f'<div class="wide">{svg}</div>'
