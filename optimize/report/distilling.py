"""The report's section on students: beside their teacher, and beside themselves without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimize.report.markup import Cell, section, table, text

__all__ = ["distilling"]


def distilling(report: Mapping[str, Any]) -> str:
    """The section; empty where nothing was distilled."""
    students: dict[str, Mapping[str, Any]] = {}
    for each in report["candidates"]:
        if each.get("distil"):
            students.setdefault(each["distil"]["name"], each["distil"])
    if not students:
        return ""
    parts = "".join(_student(name, found) for name, found in students.items())
    return section(
        "Students",
        f"{parts}<p class=legend>Alone: the same network, trained on the true target for as many"
        " steps without the teacher, mean of the seeds. Gain: what the teacher brought, mean of"
        " the differences seed by seed, with its 95 % t interval. All on the evaluation rows,"
        " before anything is quantised.</p>",
    )


def _student(name: str, found: Mapping[str, Any]) -> str:
    rows = found["rows"]
    learned = f"{rows['labelled']:,} rows with a target and {rows['unlabelled']:,} without"
    if rows["left_out"]:
        learned += f" ({rows['left_out']:,} more are in the evaluation set, and were left out)"
    seeds = found["compared"]
    compared = f"Compared over {seeds} {'seed' if seeds == 1 else 'seeds'}."
    if found["not_compared"]:
        compared += f" No more, because {found['not_compared']}."
    metrics = [_metric(metric, each) for metric, each in found["metrics"].items()]
    return (
        f"<p><strong>{text(name)}</strong>: {found['parameters']:,} weights, learned from"
        f" {learned}; {found['steps']:,} steps, {found['epochs']} passes,"
        f" {text(found['stopped'])}. {text(compared)}</p>"
        + table(["Metric", "Teacher", "Student", "Alone", "Gain", "So"], metrics)
    )


def _metric(name: str, found: Mapping[str, Any]) -> list[Cell]:
    alone, gain, so = "", "", "not compared"
    if found["seeds"]:
        alone = f"{sum(seed['alone'] for seed in found['seeds']) / len(found['seeds']):.4f}"
        gain, so = f"{found['gain']:+.4f}", "one seed tells little"
    if "gain_low" in found:
        low, high = found["gain_low"], found["gain_high"]
        gain += f" ({low:+.4f} to {high:+.4f})"
        so = "the teacher helps" if low > 0 else "the teacher harms" if high < 0 else "no telling"
    return [
        (text(name), ""),
        (f"{found['teacher']:.4f}", "n"),
        (f"{found['student']:.4f}", "n"),
        (alone, "n"),
        (gain, "n"),
        (so, ""),
    ]
