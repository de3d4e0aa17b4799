"""``report.html``: one file without script or outside asset, for a phone, a desk and paper."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks.gates.outcome import Attempt, RunResult, ScenarioOutcome
from benchmarks.gates.verdict import Verdict
from benchmarks.report import words
from benchmarks.report.figures import figures

__all__ = ["document", "render", "table"]

STYLE = Path(__file__).with_name("page.css")
FOREIGN_MAX = 0.10


def render(result: RunResult) -> str:
    """The whole page."""
    noise = result.provenance.configuration.get("noise", {})
    foreign_max = float(noise.get("foreign_max", FOREIGN_MAX))
    sections = [
        _scenario(number, one, foreign_max) for number, one in enumerate(result.scenarios, 1)
    ]
    return document(
        f"{result.name}: {result.verdict}",
        f"<h1>Penstock benchmark: {escape(result.name)}</h1>",
        _verdict(result),
        *sections,
        _provenance(result),
    )


def document(title: str, *body: str) -> str:
    """A page around its parts, with the style in it."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            # Without one a browser asks for /favicon.ico, which a file does not have.
            '<link rel="icon" href="data:,">',
            f"<style>{STYLE.read_text()}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Figures by name: a head, then a row for each name, which stands first."""
    head, *body = rows
    heads = "".join(f'<th class="num">{escape(text)}</th>' for text in head[1:])
    lines = "".join(
        f"<tr><td>{escape(row[0])}</td>"
        + "".join(f'<td class="num">{escape(text)}</td>' for text in row[1:])
        + "</tr>"
        for row in body
    )
    return (
        f'<div class="scroll"><table><thead><tr><th>{escape(head[0])}</th>{heads}</tr>'
        f"</thead><tbody>{lines}</tbody></table></div>"
    )


def _verdict(result: RunResult) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in words.reasons(result))
    description = f'<p class="soft">{escape(result.description)}</p>' if result.description else ""
    advice = words.advice(result)
    headline = words.HEADLINES[result.verdict]
    if result.interrupted:
        headline = f"Interrupted. So far: {result.verdict}"
    return (
        f'{description}<div class="verdict {result.verdict}" role="status">'
        f"<strong>{words.MARKS[result.verdict]} {escape(headline)}</strong>"
        f"<ul>{lines}</ul>{f'<p>{escape(advice)}</p>' if advice else ''}</div>"
    )


def _scenario(number: int, outcome: ScenarioOutcome, foreign_max: float) -> str:
    parts = [
        '<section><header class="row">',
        f"<h2>{escape(outcome.name)}</h2>{_chip(outcome.verdict, outcome.counts)}</header>",
        f'<p class="soft">{escape(outcome.summary)} {_params(outcome)}</p>',
    ]
    if outcome.reason:
        parts.append(f"<p>{escape(outcome.reason)}</p>")
    last = outcome.last
    if last is not None:
        parts.append(_gates(last))
        if last.error:
            parts.append(f"<pre>{escape(last.error)}</pre>")
        charts = "".join(
            f"<figure>{canvas.svg(f's{number}c{index}')}<figcaption>{caption}</figcaption></figure>"
            for index, (canvas, caption) in enumerate(figures(outcome, foreign_max))
        )
        if charts:
            parts.append(f'<div class="charts">{charts}</div>')
        if last.measurement is not None:
            parts.append(_metrics(last.measurement.metrics))
            parts += [f'<p class="soft">{escape(note)}</p>' for note in last.measurement.notes]
    if last is not None and last.confirms:
        parts.append(f"<p>{escape(words.second(last))}.</p>")
    if len(outcome.attempts) > 1:
        parts.append(_attempts(outcome.attempts))
    return "".join([*parts, "</section>"])


def _chip(verdict: Verdict, counts: bool = True) -> str:
    text = f"{words.MARKS[verdict]} {verdict}" if counts else f"{verdict}, does not count"
    return f'<span class="chip {verdict if counts else "none"}">{text}</span>'


def _params(outcome: ScenarioOutcome) -> str:
    texts = [f"{name} {outcome.params[name]}" for name in outcome.chosen]
    return escape(", ".join(texts))


def _gates(attempt: Attempt) -> str:
    if not attempt.findings:
        return ""
    rows = []
    for found in attempt.findings:
        value, interval = words.measured(found)
        spread = f'<br><span class="soft">{interval}</span>' if interval else ""
        why = f'<br><span class="soft">{escape(found.why)}</span>' if found.why else ""
        rows.append(
            f"<tr><td>{escape(found.text)}{why}</td>"
            f'<td class="num">{value}{spread}</td><td>{_chip(found.verdict)}</td>'
            f'<td class="why soft">{escape(found.reason)}</td></tr>'
        )
    return (
        '<table class="gates"><thead><tr><th>gate</th><th class="num">measured</th><th>verdict</th>'
        f"<th>why</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _metrics(metrics: Mapping[str, float]) -> str:
    rows = "".join(
        f'<tr><td><code>{escape(name)}</code></td><td class="num">{words.figure(value)}</td></tr>'
        for name, value in sorted(metrics.items())
    )
    return (
        f"<details><summary>All figures ({len(metrics)})</summary>"
        f"<table><tbody>{rows}</tbody></table></details>"
    )


def _attempts(attempts: Iterable[Attempt]) -> str:
    rows = "".join(
        f"<tr><td>{one.number}{_role(one)}</td>"
        f"<td>{_chip(one.verdict)}</td><td>{escape(_attempt_reason(one))}</td></tr>"
        for one in attempts
    )
    return (
        "<details open><summary>All attempts: an invalid one is repeated, a missed ratio measured"
        " again, and all are kept</summary>"
        f"<table><tbody>{rows}</tbody></table></details>"
    )


def _role(attempt: Attempt) -> str:
    if attempt.confirms:
        return f" (with {attempt.confirms})"
    return " (discarded)" if attempt.discarded else ""


def _attempt_reason(attempt: Attempt) -> str:
    if attempt.error:
        return attempt.error
    invalid = attempt.measurement.invalid if attempt.measurement else ()
    reasons = invalid or [f.reason for f in attempt.findings if f.verdict is attempt.verdict]
    return "; ".join(dict.fromkeys(reasons))


def _provenance(result: RunResult) -> str:
    origin = result.provenance
    machine = origin.machine
    busy = ", ".join(f"{share:.0%}" for share in origin.preflight_busy if not math.isnan(share))
    rows = {
        "started": f"{origin.started}, took {result.duration_s:.0f} s",
        "command": f"<code>{escape(origin.command)}</code>",
        "gate file": f"{escape(origin.gate_file)} <code>{origin.gate_sha256[:12]}</code>",
        "commit": escape(origin.commit[:12] or "unknown")
        + (" with changes that are not committed" if origin.is_dirty else ""),
        "packages": f"<code>{origin.lock_sha256[:12]}</code>" if origin.lock_sha256 else "unknown",
        "machine": escape(
            f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores,"
            f" {machine.get('memory_gib', '?')} GiB, Linux {machine.get('kernel', '?')},"
            f" Python {machine.get('python', '?')}"
        ),
        "busy before the start": busy or "not probed",
        "seed": str(origin.seed),
    }
    for contender in origin.contenders:
        about = [contender.url or " ".join(contender.command), contender.version, contender.note]
        rows[escape(contender.name)] = escape(", ".join(filter(None, about)))
    lines = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items())
    configuration = json.dumps(origin.configuration, indent=1, default=str)
    return (
        f"<section><h2>How it was made</h2><dl>{lines}</dl>"
        "<details><summary>The gate file as it was run</summary>"
        f"<pre>{escape(configuration)}</pre></details></section>"
    )
