"""A run on the terminal: the gates of each scenario, then the verdict and why."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks.gates.outcome import RunResult, ScenarioOutcome
from benchmarks.gates.plan import Plan
from benchmarks.gates.verdict import Verdict
from benchmarks.report import words

__all__ = ["render", "render_plan"]

STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.ERROR: "red",
    Verdict.INVALID: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
}


def render(result: RunResult) -> RenderableType:
    """Everything but the charts."""
    style = STYLES.get(result.verdict, "dim")
    lines: list[RenderableType] = [*_scenarios(result.scenarios)]
    mark = words.MARKS[result.verdict]
    lines.append(Text(f"{mark} {words.HEADLINES[result.verdict]}", style=f"bold {style}"))
    lines += [Padding(Text(line), (0, 0, 0, 2)) for line in words.reasons(result)]
    advice = words.advice(result)
    if advice:
        lines.append(Padding(Text(advice, style="dim"), (0, 0, 0, 2)))
    return Group(*lines)


def render_plan(plan: Plan) -> RenderableType:
    """A line for each scenario, and how long all of it takes."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("scenario", style="bold", no_wrap=True)
    table.add_column("about", justify="right", no_wrap=True)
    table.add_column("gates")
    for one in plan.scenarios:
        table.add_row(Text(one.name), f"{one.lasts_s:,.0f} s", Text("; ".join(one.gates)))
    total = f"About {words.minutes(plan.lasts_s)}, attempts repeated for noise not counted"
    budget = f"; nothing new is begun after {words.minutes(plan.budget_s)}."
    style = "" if plan.lasts_s <= plan.budget_s else "yellow"
    return Group(table, Text(total + budget, style=style))


def _scenarios(outcomes: tuple[ScenarioOutcome, ...]) -> Iterator[RenderableType]:
    for outcome in outcomes:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for found in outcome.findings:
            value, interval = words.measured(found)
            table.add_row(
                Text(words.MARKS[found.verdict], style=STYLES.get(found.verdict, "dim")),
                Text(found.text),
                Text(f"{value}  {interval}".rstrip(), justify="right"),
                Text(found.reason, style="dim"),
            )
        title = Text.assemble(
            (outcome.name, "bold"), " ", (str(outcome.verdict), STYLES.get(outcome.verdict, "dim"))
        )
        if not outcome.counts:
            title.append(" (does not count)", "dim")
        yield title
        if outcome.last is not None and outcome.last.confirms:
            yield Padding(Text(words.second(outcome.last) + "."), (0, 0, 0, 2))
        if outcome.reason:
            yield Padding(Text(outcome.reason), (0, 0, 0, 2))
        yield Padding(table, (0, 0, 1, 2))
