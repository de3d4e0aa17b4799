"""A run in plain words: the verdict, why, and what to do about it."""

from __future__ import annotations

import math

from benchmarks.gates.findings import Finding
from benchmarks.gates.outcome import Attempt, RunResult, ScenarioOutcome
from benchmarks.gates.verdict import Verdict

__all__ = ["HEADLINES", "MARKS", "advice", "figure", "measured", "minutes", "reasons", "second"]

HEADLINES = {
    Verdict.PASS: "Pass: ship it",
    Verdict.FAIL: "Fail: do not ship",
    Verdict.ERROR: "Error: something did not run",
    Verdict.INVALID: "Invalid: nothing was proved",
    Verdict.INCONCLUSIVE: "Inconclusive: too close to call",
    Verdict.UNSUPPORTED: "Unsupported: not all of it could be tried",
    Verdict.SKIPPED: "Skipped",
}
MARKS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.ERROR: "!",
    Verdict.INVALID: "?",
    Verdict.INCONCLUSIVE: "≈",
    Verdict.UNSUPPORTED: "–",
    Verdict.SKIPPED: "–",
}
ADVICE = {
    Verdict.FAIL: "Look at the missed gates below; the charts show when and at what load.",
    Verdict.ERROR: "Mend what the message names, then run it again.",
    Verdict.INVALID: "It says nothing about the server, good or bad. Run it again on a quieter"
    " machine.",
    Verdict.INCONCLUSIVE: "The interval holds the limit, or there was no answer in time. More"
    " rounds, requests or time would help; decide how many before the next run, not after.",
    Verdict.UNSUPPORTED: "The server lacks something that a scenario needs. Take the scenario out,"
    " or say `if_unsupported: skip` in the gate file.",
}


def advice(result: RunResult) -> str:
    """What to do now; empty for a pass."""
    if result.interrupted:
        return "It was stopped before the end: this is what was measured by then."
    return ADVICE.get(result.verdict, "")


def reasons(result: RunResult) -> list[str]:
    """Why the verdict is what it is: a line for each gate or scenario that decided it."""
    if result.verdict is Verdict.PASS:
        judged = [f for one in result.scenarios for f in one.findings]
        kept = sum(found.verdict is Verdict.PASS for found in judged)
        lines = [f"All {kept} gates that were judged are kept."]
        skipped = sum(found.verdict is Verdict.SKIPPED for found in judged)
        if skipped:
            lines.append(f"{skipped} not judged: see below.")
    else:
        lines = [
            line
            for one in result.scenarios
            if one.counts and one.verdict is result.verdict
            for line in _why(one)
        ]
    unsupported = [
        one.name
        for one in result.scenarios
        if one.verdict is Verdict.UNSUPPORTED and result.verdict is not Verdict.UNSUPPORTED
    ]
    if unsupported:
        lines.append(f"Not supported by this server: {', '.join(unsupported)}.")
    return [*lines, *(f"{note}." for note in result.notes)]


def _why(outcome: ScenarioOutcome) -> list[str]:
    if outcome.reason:
        return [f"{outcome.name}: {outcome.reason}."]
    last = outcome.last
    if last is not None and last.error:
        return [f"{outcome.name}: {last.error}"]
    deciding = [found for found in outcome.findings if found.verdict is outcome.verdict]
    if len({found.reason for found in deciding}) == 1 and len(deciding) > 1:
        return [f"{outcome.name}: {deciding[0].reason}."]
    return [f"{outcome.name}: {found.text}: {_with_value(found)}." for found in deciding]


def _with_value(found: Finding) -> str:
    if found.is_relative or math.isnan(found.value):
        return found.reason
    return f"{measured(found)[0]}, {found.reason}"


def second(attempt: Attempt) -> str:
    """What an attempt is that measured missed ratios again."""
    return (
        f"Attempt {attempt.confirms} missed a ratio, and attempt {attempt.number} measured it"
        f" again with newly started servers. It is a fail if the second is worse than the baseline"
        f" too; together they are: {attempt.verdict}"
    )


def minutes(seconds: float) -> str:
    """As people say it."""
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"


def figure(value: float) -> str:
    """Three significant digits, whole numbers above a thousand, thousands apart."""
    if math.isnan(value):
        return "–"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def measured(found: Finding) -> tuple[str, str]:
    """The measured value, and its interval where it has one."""
    if not found.is_relative:
        shown = figure(found.value)
        if found.value != found.limit and shown == figure(found.limit):
            shown = f"{found.value:.6g}"  # so close that three digits hide the difference
        return shown, ""
    if math.isnan(found.value):
        return "–", ""
    return f"{found.value:.3f} ×", f"{found.low:.3f} – {found.high:.3f}"
