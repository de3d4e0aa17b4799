"""The cost as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.cost.model import Cost
from benchmarks.cost.plot import by_machine, by_rate
from benchmarks.cost.spec import Prices
from benchmarks.cost.throughput import Throughput
from benchmarks.cost.words import assumptions, rows, verdict
from benchmarks.report.page import document, table

__all__ = ["render"]


def render(costs: Sequence[Cost], throughput: Throughput, prices: Prices) -> str:
    """The whole page."""
    passed = any(cost.is_within_budget for cost in costs)
    figures = [(by_rate(costs, prices), "<b>By rate.</b> Each step is one more machine.")]
    figures += [
        (
            by_machine(cost, instance, prices),
            "<b>By what a machine does,</b> at the target rate. The dot is the throughput used.",
        )
        for cost, instance in zip(costs, prices.instances, strict=True)
    ]
    charts = "".join(
        f"<figure>{canvas.svg(f'c{index}')}<figcaption>{caption}</figcaption></figure>"
        for index, (canvas, caption) in enumerate(figures)
    )
    made = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
        for name, text in assumptions(throughput, prices)
    )
    return document(
        "Penstock: what it costs",
        "<h1>Penstock: what it costs</h1>"
        f'<div class="verdict {"pass" if passed else "fail"}" role="status">'
        f"<strong>{escape(verdict(costs, prices))}</strong></div>"
        f"<section>{table(rows(costs))}"
        f'<div class="charts">{charts}</div></section>'
        f"<section><h2>Every assumption</h2><dl>{made}</dl></section>",
    )
