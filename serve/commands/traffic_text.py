"""The traffic of a model, a rollout and the audit log as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from serve.commands.table import aligned
from serve.traffic.report import ArmReport, ModelTraffic, ShadowReport
from serve.traffic.state import Audit, Rollout, RolloutStatus
from serve.traffic.verdict import Verdict

__all__ = ["audit_text", "duration", "rollout_line", "traffic_text", "verdict_text"]

HEAD = (
    *("VERSION", "NAME", "SHARE", "STATE", "REQUESTS", "ERRORS", "REFUSED", "P50 MS", "P99 MS"),
    *("SCORES P10 P50 P90", "SHIFT", "OUTCOME"),
)
NUMBERS = {0, 2, 4, 5, 6, 7, 8, 10}
"""Columns that are aligned on the right."""


def traffic_text(report: ModelTraffic) -> str:
    """The rules of a model, a line for each version, and how a rollout goes."""
    return "\n".join(_lines(report))


def _lines(report: ModelTraffic) -> Iterator[str]:
    labels = ", ".join(f"{label}={number}" for label, number in sorted(report.labels.items()))
    default = f"version {report.default} answers" if report.default else "no version answers"
    yield f"{report.model}: {default} by default; labels: {labels or 'none'}"
    if report.overruled:
        yield "rules that were set here do not count any more: model.yaml has changed since"
    elif report.from_model_yaml:
        yield "the rules are those of model.yaml"
    else:
        yield "the rules were set here; `penstock models reset` goes back to model.yaml"
    for kind, name in (report.sticky or {}).items():
        yield f"each caller meets the same version, by the {kind} {name!r}"
    if report.arms:
        yield ""
        yield from aligned([HEAD, *map(_cells, report.arms)], NUMBERS)
        yield from (f"version {a.version}: {a.reason}" for a in report.arms if a.reason)
    for arm in report.arms:
        if arm.shadow is not None:
            yield _shadow(arm.version, arm.shadow)
    if report.rollout is not None:
        yield ""
        yield rollout_line(report.rollout)
        for verdict in report.verdicts if report.rollout.active else ():
            yield f"    {verdict.guard.value:<12} {verdict.state:<8} {verdict_text(verdict)}"


def rollout_line(rollout: Rollout) -> str:
    """Where a rollout is, in a sentence."""
    to = f"rollout of version {rollout.version}"
    step = f"step {rollout.step + 1} of {len(rollout.steps)}, each for {duration(rollout.hold_s)}"
    match rollout.status:
        case RolloutStatus.LOADING:
            return f"{to}: the version is being loaded"
        case RolloutStatus.HOLDING:
            return f"{to}: it has {rollout.percent:g} % of the traffic ({step})"
        case RolloutStatus.PAUSED:
            return f"{to}: paused at {rollout.percent:g} % of the traffic ({step})"
        case RolloutStatus.COMPLETED:
            return f"{to}: completed {_when(rollout.ended_s)}"
    verb = "rolled back" if rollout.status is RolloutStatus.ROLLED_BACK else "ended"
    return f"{to}: {verb} {_when(rollout.ended_s)}: {rollout.reason or 'no reason is known'}"


def verdict_text(verdict: Verdict) -> str:
    """What a guard says, without its name."""
    return verdict.text.removeprefix(f"{verdict.guard.value}: ")


def audit_text(lines: Sequence[Audit]) -> str:
    """A line for each change, the newest first."""
    if not lines:
        return "nothing has been changed"
    head = ("NUMBER", "WHEN", "WHO", "MODEL", "WHAT (WHY)")
    rows: Iterable[Sequence[str]] = (
        (
            str(line.number),
            _when(line.time_s),
            line.who,
            line.model,
            f"{line.what} ({line.why})" if line.why else line.what,
        )
        for line in lines
    )
    return "\n".join(aligned([head, *rows], {0}))


def duration(seconds: float) -> str:
    """90.0 as 1.5 min."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _cells(arm: ArmReport) -> Sequence[str]:
    scores = "-" if arm.scores is None else " ".join(f"{score:.3g}" for score in arm.scores)
    outcome = "-"
    if (seen := arm.outcomes) is not None:
        error = "" if seen.standard_error is None else f" +-{seen.standard_error:.2g}"
        outcome = f"{seen.mean:.4g}{error} of {seen.number}"
    return (
        str(arm.version),
        arm.name,
        f"{100 * arm.weight:.3g} %",
        arm.state,
        str(arm.requests),
        str(arm.errors),
        str(arm.refusals),
        _number(arm.p50_ms),
        _number(arm.p99_ms),
        scores,
        _number(arm.score_distance),
        outcome,
    )


def _shadow(version: int, seen: ShadowReport) -> str:
    said = f"version {version} was given copies: {seen.compared} compared"
    if seen.agreement is not None:
        said += f", {100 * seen.agreement:.4g} % agree (largest difference {seen.max_distance:.3g})"
    if seen.latency_ratio is not None:
        said += f", {seen.latency_ratio:.3g} times the execution time"
    return f"{said}; {seen.failed} failed, {seen.dropped} dropped"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _when(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
