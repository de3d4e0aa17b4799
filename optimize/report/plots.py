"""Plots as SVG text: no script, no file beside the page, readable on a phone, in print and in the
dark. Shapes and dashes tell apart what colours do, for those who do not see them.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optimize.report.axes import Axis, shown

__all__ = ["LINES", "Point", "Sample", "bars", "lines", "ranked_bars", "scatter"]

WIDTH, HEIGHT = 420, 290
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 42
BAR_HEIGHT, BAR_ROOM = 9, 31
LINES = 6
"""So many lines can be told apart."""


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot. ``y`` or ``x`` None: not measured, and drawn at the edge.

    ``label`` is the number by which a table tells more of it.
    """

    x: float | None
    y: float
    kind: str
    label: str
    title: str


@dataclass(frozen=True)
class Sample:
    """A point of a line, with the band around it."""

    x: float
    y: float
    low: float
    high: float


def scatter(points: Sequence[Point], front: Sequence[Point], x_title: str, y_title: str) -> str:
    """Numbered points and the front through the best of them; x is logarithmic."""
    edge = any(point.x is None for point in points)
    right = WIDTH - RIGHT - (56 if edge else 0)
    x = Axis([point.x for point in points if point.x is not None], LEFT, right, log=True)
    y = Axis([point.y for point in points], HEIGHT - BOTTOM, TOP, log=False)
    drawn = []
    if edge:
        drawn.append(
            f'<line class="edge" x1="{right}" x2="{right}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text x="{(right + WIDTH - RIGHT) / 2}" y="{HEIGHT - BOTTOM + 15}"'
            ' text-anchor="middle">not timed</text>'
        )
    path = [f"{x.at(point.x):.1f},{y.at(point.y):.1f}" for point in front if point.x is not None]
    drawn.append(f'<polyline class="front" points="{" ".join(path)}"/>')
    taken: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: "pick" in point.kind):
        at_x = (right + WIDTH - RIGHT) / 2 if point.x is None else x.at(point.x)
        at_y = y.at(point.y)
        label_x, label_y = _free(at_x, at_y, taken)
        drawn.append(
            f'<g class="{point.kind}"><title>{html.escape(point.title)}</title>'
            f"{_mark(point.kind, at_x, at_y)}"
            f'<text x="{label_x:.1f}" y="{label_y:.1f}">{html.escape(point.label)}</text></g>'
        )
    return _framed(x, y, x_title, y_title, "".join(drawn))


def lines(series: Mapping[str, Sequence[Sample]], x_title: str, y_title: str) -> str:
    """A line for each series, the first with its band; both axes logarithmic, the names below."""
    samples = [sample for each in series.values() for sample in each]
    sizes = sorted({sample.x for sample in samples})
    x = Axis(sizes, LEFT, WIDTH - RIGHT, log=True, ticks=sizes)
    first = next(iter(series.values()))
    reach = [sample.y for sample in samples]
    reach += [value for sample in first for value in (sample.low, sample.high)]
    y = Axis(reach, HEIGHT - BOTTOM, TOP, log=True)
    drawn, names = [], []
    for index, (name, line) in enumerate(series.items()):
        kind = f"line{index % LINES}"
        if index == 0:
            band = [(sample.x, sample.high) for sample in line]
            band += [(sample.x, sample.low) for sample in reversed(line)]
            drawn.append(f'<polygon class="band {kind}" points="{_path(x, y, band)}"/>')
        middle = _path(x, y, [(sample.x, sample.y) for sample in line])
        drawn.append(f'<polyline class="{kind}" points="{middle}"/>')
        drawn += [
            f'<circle class="{kind}" cx="{x.at(sample.x):.1f}" cy="{y.at(sample.y):.1f}" r="2.5"/>'
            for sample in line
        ]
        key = f'<svg class="key" viewBox="0 0 24 8"><polyline class="{kind}" points="0,4 24,4"/>'
        names.append(f"<li>{key}</svg>{html.escape(name)}</li>")
    legend = f'<ul class="legend">{"".join(names)}</ul>'
    return _framed(x, y, x_title, y_title, "".join(drawn)) + legend


def bars(counts: Mapping[str, int], x_title: str) -> str:
    """A bar a name, with its count on it."""
    most = max(counts.values(), default=1) or 1
    width = (WIDTH - 2 * RIGHT) / max(len(counts), 1)
    drawn = []
    for index, (name, count) in enumerate(counts.items()):
        height = (HEIGHT - TOP - BOTTOM - 14) * count / most
        left, top = RIGHT + index * width, HEIGHT - BOTTOM - height
        middle = left + width / 2
        drawn.append(
            f'<rect class="bar" x="{left + 2:.1f}" y="{top:.1f}" width="{width - 4:.1f}"'
            f' height="{height:.1f}"/>'
            f'<text x="{middle:.1f}" y="{top - 4:.1f}" text-anchor="middle">{count}</text>'
            f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">'
            f"{html.escape(name)}</text>"
        )
    return _svg("".join(drawn) + _x_title(x_title, RIGHT), HEIGHT)


def ranked_bars(values: Sequence[tuple[str, float, str]], x_title: str) -> str:
    """A lying bar a name, as (name, value, kind), the name above it: names of layers are long."""
    most = max((value for _, value, _ in values), default=1.0) or 1.0
    room = WIDTH - 2 * RIGHT - 56
    drawn = []
    for index, (name, value, kind) in enumerate(values):
        top = 4 + index * BAR_ROOM
        width = room * value / most
        drawn.append(
            f'<text x="{RIGHT}" y="{top + 10}">{html.escape(name)}</text>'
            f'<rect class="bar {kind}" x="{RIGHT}" y="{top + 14}" width="{width:.1f}"'
            f' height="{BAR_HEIGHT}"/>'
            f'<text x="{RIGHT + width + 4:.1f}" y="{top + 22}">{value:.3g}</text>'
        )
    height = 4 + len(values) * BAR_ROOM + 24
    title = f'<text x="{RIGHT}" y="{height - 8}">{html.escape(x_title)}</text>'
    return _svg("".join(drawn) + title, height)


def _mark(kind: str, x: float, y: float) -> str:
    """A disc for what passes, a cross for what fails, a square for what could not be told."""
    if "fail" in kind:
        cross = f"M{x - 5:.1f},{y - 5:.1f}l10,10m0,-10l-10,10"
        return f'<path class="cross" d="{cross}"/>'
    if "inconclusive" in kind:
        return f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{7 if "pick" in kind else 5}"/>'


def _free(x: float, y: float, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """A place for a label near its mark where none is yet, or else beside it."""
    for move_x, move_y in ((9, -4), (9, 12), (-20, -4), (-20, 12), (-3, -10), (-3, 20)):
        place = (x + move_x, y + move_y)
        if all(abs(place[0] - other[0]) > 15 or abs(place[1] - other[1]) > 10 for other in taken):
            break
    else:
        place = (x + 9, y - 4)
    taken.append(place)
    return place


def _path(x: Axis, y: Axis, points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x.at(at_x):.1f},{y.at(at_y):.1f}" for at_x, at_y in points)


def _framed(x: Axis, y: Axis, x_title: str, y_title: str, inner: str) -> str:
    grid = []
    for tick in x.ticks:
        at = x.at(tick)
        grid.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        grid.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">'
            f"{shown(tick)}</text>"
        )
    for tick in y.ticks:
        at = y.at(tick)
        grid.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        grid.append(f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{shown(tick)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = (
        f'<text x="11" y="{middle}" transform="rotate(-90 11 {middle})"'
        f' text-anchor="middle">{html.escape(y_title)}</text>'
    )
    return _svg(f'<g class="grid">{"".join(grid)}</g>{inner}{_x_title(x_title)}{turned}', HEIGHT)


def _x_title(title: str, left: int = LEFT) -> str:
    middle = (left + WIDTH - RIGHT) / 2
    return f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(title)}</text>'


def _svg(inner: str, height: float) -> str:
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img">{inner}</svg>'
