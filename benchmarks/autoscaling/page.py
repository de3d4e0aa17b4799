"""A simulation as one self-contained page."""

from __future__ import annotations

from html import escape

from benchmarks.autoscaling import plot
from benchmarks.autoscaling.run import Run
from benchmarks.autoscaling.words import assumptions, is_good, rows, verdict
from benchmarks.report.page import document, table

__all__ = ["render"]


def render(run: Run) -> str:
    """The whole page."""
    title = f"Penstock: autoscaling of {run.model}"
    until_s = len(run.trace.rates)
    fixed_usd = run.fixed.usd / until_s * 3600
    figures = [
        (
            plot.load(run.slices, until_s),
            _key("a", "asked for")
            + _key("b", "what ready replicas can do")
            + _key("bad", "refused"),
        ),
        (
            plot.replicas(run.slices, until_s, run.fixed.replicas_most),
            _key("a", "paid for") + _key("b", "ready"),
        ),
        (
            plot.latency(run.slices, until_s, run.config.slo.latency_ms),
            _key("a", "p99") + _key("b", "p50") + "Of what was answered.",
        ),
        (plot.cost(run.slices, until_s, fixed_usd), _key("a", "of the machines")),
    ]
    charts = "".join(
        f"<figure>{canvas.svg(f'c{index}')}<figcaption>{caption}</figcaption></figure>"
        for index, (canvas, caption) in enumerate(figures)
    )
    made = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in assumptions(run)
    )
    return document(
        title,
        f"<h1>{escape(title)}</h1>"
        f'<div class="verdict {"pass" if is_good(run) else "fail"}" role="status">'
        f"<strong>{escape(verdict(run))}</strong></div>"
        f"<section>{table(rows(run))}"
        f'<div class="charts">{charts}</div></section>'
        f"<section><h2>Every assumption</h2><dl>{made}</dl></section>",
    )


def _key(kind: str, words: str) -> str:
    return f'<span class="key {kind}"></span>{escape(words)} '
