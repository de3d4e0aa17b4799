"""A run as Markdown, for a pull request or a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.report.text import limit_text, value_text
from benchmarks.result import Result

__all__ = ["render"]


def render(results: Sequence[Result], facts: Mapping[str, object]) -> str:
    """Every scenario as a table, under one line about the machine."""
    lines = [
        "# Benchmarks",
        "",
        f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']},"
        f" load average at the start {facts['load_average']}.",
    ]
    for result in results:
        lines += [
            "",
            f"## {result.scenario}: {result.verdict}",
            "",
            "| figure | median | range | limit |",
            "|---|--:|--:|--:|",
        ]
        for check in result.checks:
            value, spread = value_text(check.figure)
            lines.append(f"| **{check.figure.name}** | {value} | {spread} | {limit_text(check)} |")
        for figure in result.figures:
            value, spread = value_text(figure)
            lines.append(f"| {figure.name} | {value} | {spread} | |")
        for note in filter(None, (result.invalid, *result.notes)):
            lines += ["", f"> {note}"]
    return "\n".join(lines) + "\n"
