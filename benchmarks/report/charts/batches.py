"""How many rows the batches had."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Linear, short

__all__ = ["batches"]


def batches(counts: Mapping[int, int]) -> Canvas:
    """A bar for each size, by the upper bound of its rows."""
    sizes = sorted(size for size, count in counts.items() if count)
    total = sum(counts.values())
    shares = {size: counts[size] / total * 100 for size in sizes}
    words = ", ".join(f"up to {size} rows {shares[size]:.0f} %" for size in sizes)
    canvas = Canvas("Batch sizes", f"Of {total:,} batches: {words}.", 200)
    y = Linear(0, max(shares.values(), default=1.0), canvas.bottom, canvas.top + 14)
    step = (canvas.right - canvas.left) / max(1, len(sizes))

    class Sizes:
        """The horizontal axis: a place for each size."""

        def at(self, value: float) -> float:
            return canvas.left + (sizes.index(int(value)) + 0.5) * step

        def ticks(self) -> list[tuple[float, str]]:
            return [(size, short(size)) for size in sizes]

    x = Sizes()
    canvas.axes(x, y, "rows in a batch, at most", "% of the batches")
    for size in sizes:
        high = y.at(shares[size])
        width = min(step * 0.7, 60)
        canvas.box(x.at(size) - width / 2, high, width, canvas.bottom - high, "bar ok")
    return canvas
