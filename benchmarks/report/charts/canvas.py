"""An SVG drawing with a frame, as text. Classes say what a thing is; the page's CSS paints it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from benchmarks.report.charts.scale import Scale

__all__ = ["Canvas"]

WIDTH = 400
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 12, 38
"""Room around the plot for the labels; at 390 pixels of screen a unit is about one pixel."""
Point = tuple[float, float]


class Canvas:
    """A chart under way. Positions are units of the view box, y downwards."""

    def __init__(self, title: str, description: str, height: int = 240) -> None:
        self._title = title
        self._description = description
        self._parts: list[str] = []
        self.height = height
        self.left, self.right = LEFT, WIDTH - RIGHT
        self.top, self.bottom = TOP, height - BOTTOM

    def axes(self, x: Scale, y: Scale, x_name: str, y_name: str, *, grid_x: bool = False) -> None:
        """Lines and labels of both axes; ``y_name`` stands above the vertical one."""
        last = float("-inf")
        for value, label in x.ticks():
            at = x.at(value)
            if grid_x:
                self.line((at, self.top), (at, self.bottom), "grid")
            self.line((at, self.bottom), (at, self.bottom + 4), "tick")
            room = 7.5 * len(label) + 6
            if at - last >= room and at <= self.right + 2:
                anchor = "end" if at > self.right - room / 2 + 10 else "middle"
                self.text((at, self.bottom + 16), label, anchor=anchor)
                last = at
        for value, label in y.ticks():
            at = y.at(value)
            self.line((self.left, at), (self.right, at), "grid")
            self.text((self.left - 6, at + 4), label, anchor="end")
        self.line((self.left, self.bottom), (self.right, self.bottom), "axis")
        self.text(((self.left + self.right) / 2, self.bottom + 32), x_name, anchor="middle")
        if y_name:
            self.text((self.left + 4, self.top + 2), y_name, "name")

    def line(self, start: Point, end: Point, kind: str) -> None:
        """A straight line."""
        self._parts.append(
            f'<line class="{kind}" x1="{start[0]:.1f}" y1="{start[1]:.1f}"'
            f' x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
        )

    def path(self, points: Iterable[Point], kind: str) -> None:
        """A line through points."""
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{text}"/>')

    def area(self, points: Sequence[Point], kind: str) -> None:
        """A filled shape."""
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polygon class="{kind}" points="{text}"/>')

    def box(self, left: float, top: float, width: float, height: float, kind: str) -> None:
        """A filled rectangle; none where there is nothing to see."""
        if width > 0 and height > 0:
            self._parts.append(
                f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}"'
                f' width="{width:.1f}" height="{height:.1f}"/>'
            )

    def dot(self, at: Point, kind: str, hint: str = "", radius: float = 3.5) -> None:
        """A round mark; the hint shows when the pointer rests on it."""
        inside = f"<title>{escape(hint)}</title>" if hint else ""
        self._parts.append(
            f'<circle class="{kind}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}">'
            f"{inside}</circle>"
        )

    def cross(self, at: Point, kind: str, hint: str = "") -> None:
        """A mark that is told from a round one without colour."""
        inside = f"<title>{escape(hint)}</title>" if hint else ""
        (x, y), r = at, 4
        self._parts.append(
            f'<path class="{kind}" d="M{x - r:.1f},{y - r:.1f}l{2 * r},{2 * r}'
            f'm0,{-2 * r}l{-2 * r},{2 * r}">{inside}</path>'
        )

    def text(self, at: Point, text: str, kind: str = "label", anchor: str = "start") -> None:
        """Words at a place."""
        self._parts.append(
            f'<text class="{kind}" x="{at[0]:.1f}" y="{at[1]:.1f}"'
            f' text-anchor="{anchor}">{escape(text)}</text>'
        )

    def svg(self, ident: str) -> str:
        """The whole drawing; ``ident`` is unique on the page."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img"'
            f' aria-labelledby="{ident}-t {ident}-d">'
            f'<title id="{ident}-t">{escape(self._title)}</title>'
            f'<desc id="{ident}-d">{escape(self._description)}</desc>'
            f"{''.join(self._parts)}</svg>"
        )
