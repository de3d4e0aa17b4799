"""A result on the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from benchmarks.report.text import limit_text, value_text
from benchmarks.result import Result, Verdict

__all__ = ["render"]

STYLES = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INVALID: "yellow"}


def render(result: Result) -> Table:
    """Checks first, then the figures behind them, then notes."""
    style = STYLES[result.verdict]
    table = Table(
        title=f"{result.scenario}: [{style}]{result.verdict}[/]",
        title_justify="left",
        caption=escape("\n".join(filter(None, (result.invalid, *result.notes)))) or None,
        caption_justify="left",
    )
    table.add_column("figure")
    table.add_column("median", justify="right")
    table.add_column("range", justify="right", style="dim")
    table.add_column("limit", justify="right")
    for check in result.checks:
        mark = "green" if check.passed else "red"
        value, spread = value_text(check.figure)
        table.add_row(check.figure.name, value, spread, f"[{mark}]{limit_text(check)}[/]")
    table.add_section()
    for figure in result.figures:
        table.add_row(figure.name, *value_text(figure), "")
    return table
