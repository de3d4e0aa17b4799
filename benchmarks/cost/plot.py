"""Cost against rate, and against what a machine can do."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cost.model import Cost, monthly_usd
from benchmarks.cost.spec import Instance, Prices
from benchmarks.report.charts.canvas import Canvas
from benchmarks.report.charts.scale import Linear, Log

__all__ = ["by_machine", "by_rate"]

POINTS = 240
KINDS = ("series a", "series b", "series c")


def by_rate(costs: Sequence[Cost], prices: Prices) -> Canvas:
    """Dollars a month over the rate, up to twice the target: a step is a machine."""
    top = prices.target_per_s * 2
    lines = []
    for cost, instance in zip(costs, prices.instances, strict=True):
        rates = [top * number / POINTS for number in range(1, POINTS + 1)]
        lines.append([(r, monthly_usd(r, cost.qps_per_machine, instance, prices)) for r in rates])
    highest = max([prices.budget_usd_per_month, *(usd for line in lines for _, usd in line)])
    canvas = Canvas(
        "Monthly cost against rate",
        "; ".join(
            f"{cost.instance}: ${cost.usd_per_month:,.0f} a month at {prices.target_per_s:,.0f}/s"
            for cost in costs
        ),
    )
    x = Linear(0, top, canvas.left, canvas.right)
    y = Linear(0, highest, canvas.bottom, canvas.top + 14)
    canvas.axes(x, y, "predictions a second", "$ a month")
    _budget(canvas, y.at(prices.budget_usd_per_month), prices)
    for kind, line in zip(KINDS, lines, strict=False):
        canvas.path([(x.at(rate), y.at(usd)) for rate, usd in line], kind)
    for cost in costs:
        at = (x.at(prices.target_per_s), y.at(cost.usd_per_month))
        canvas.dot(at, "mark-good", f"{cost.instance}: ${cost.usd_per_month:,.0f}")
    return canvas


def by_machine(cost: Cost, instance: Instance, prices: Prices) -> Canvas:
    """Dollars a month at the target rate over what a machine does; the dot is what was measured."""
    low, high = cost.qps_per_machine / 30, cost.qps_per_machine * 10
    if low < cost.break_even_qps < high * 10:
        low = min(low, cost.break_even_qps / 3)
    values = [low * (high / low) ** (number / POINTS) for number in range(POINTS + 1)]
    line = [(q, monthly_usd(prices.target_per_s, q, instance, prices)) for q in values]
    canvas = Canvas(
        f"Monthly cost against throughput of a machine, {cost.instance}",
        f"${cost.usd_per_month:,.0f} a month at {cost.qps_per_machine:,.0f} predictions a second"
        f" a machine; the budget is reached at {cost.break_even_qps:,.0f}.",
    )
    x = Log(low, high, canvas.left, canvas.right)
    y = Log(line[-1][1], max(line[0][1], prices.budget_usd_per_month), canvas.bottom, 26)
    canvas.axes(x, y, f"predictions a second that one {cost.instance} makes", "$ a month")
    _budget(canvas, y.at(prices.budget_usd_per_month), prices)
    canvas.path([(x.at(qps), y.at(usd)) for qps, usd in line], "series a")
    canvas.dot((x.at(cost.qps_per_machine), y.at(cost.usd_per_month)), "mark-good", "measured")
    return canvas


def _budget(canvas: Canvas, at: float, prices: Prices) -> None:
    canvas.line((canvas.left, at), (canvas.right, at), "limit")
    canvas.text(
        (canvas.right - 2, at - 5 if at > canvas.top + 30 else at + 15),
        f"budget ${prices.budget_usd_per_month:,.0f}",
        "limit-label",
        "end",
    )
