"""``summary.md``: the verdict, the gates and why, for a pull request or a job's summary page."""

from __future__ import annotations

from benchmarks.gates.outcome import RunResult, ScenarioOutcome
from benchmarks.report import words

__all__ = ["render"]


def render(result: RunResult) -> str:
    """The whole text."""
    origin = result.provenance
    machine = origin.machine
    lines = [
        f"# {words.MARKS[result.verdict]} {result.name}: {words.HEADLINES[result.verdict]}",
        "",
        *(f"- {_plain(line)}" for line in words.reasons(result)),
    ]
    advice = words.advice(result)
    if advice:
        lines += ["", advice]
    for outcome in result.scenarios:
        lines += _scenario(outcome)
    lines += [
        "",
        f"Commit {origin.commit[:12] or 'unknown'}{' (changed)' if origin.is_dirty else ''},"
        f" {machine.get('cpu', 'unknown CPU')}, {machine.get('cores', '?')} cores,"
        f" {origin.started}, {result.duration_s:.0f} s, seed {origin.seed}.",
    ]
    return "\n".join(lines) + "\n"


def _scenario(outcome: ScenarioOutcome) -> list[str]:
    counted = "" if outcome.counts else ", does not count"
    lines = ["", f"## {outcome.name}: {outcome.verdict}{counted}"]
    if outcome.reason:
        lines += ["", _plain(outcome.reason)]
    if outcome.last is not None and outcome.last.error:
        lines += ["", f"> {_plain(outcome.last.error)}"]
    if outcome.findings:
        lines += ["", "| | gate | measured | why |", "|---|---|--:|---|"]
    for found in outcome.findings:
        value, interval = words.measured(found)
        shown = f"{value} ({interval})" if interval else value
        lines.append(
            f"| {words.MARKS[found.verdict]} {found.verdict} | {_plain(found.text)}"
            f" | {shown} | {_plain(found.reason)} |"
        )
    discarded = sum(attempt.discarded for attempt in outcome.attempts)
    if discarded:
        lines += ["", f"{discarded} invalid attempt{'s' * (discarded > 1)} before this one."]
    last = outcome.last
    if last is not None and last.confirms:
        lines += ["", f"{_plain(words.second(last))}."]
    return lines


def _plain(text: str) -> str:
    """Text that stays one line of one cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
