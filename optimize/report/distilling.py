"""The report's section on students: beside their teacher, and beside themselves without one."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

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
    return (
        f"<section><h2>Students</h2>{parts}<p class=legend>Alone: the same network, trained on the"
        " true target for as many steps without the teacher, mean of the seeds. Gain: what the"
        " teacher brought, mean of the differences seed by seed, with its 95 % t interval. All on"
        " the evaluation rows, before anything is quantised.</p></section>"
    )


def _student(name: str, found: Mapping[str, Any]) -> str:
    rows = found["rows"]
    learned = f"{rows['labelled']:,} rows with a target and {rows['unlabelled']:,} without"
    if rows["left_out"]:
        learned += f" ({rows['left_out']:,} more are in the evaluation set, and were left out)"
    compared = f"Compared over {found['compared']} seeds."
    if found["not_compared"]:
        compared += f" No more, because {found['not_compared']}."
    metrics = "".join(_metric(metric, each) for metric, each in found["metrics"].items())
    return (
        f"<p><strong>{html.escape(name)}</strong>: {found['parameters']:,} weights, learned from"
        f" {learned}; {found['steps']:,} steps, {found['epochs']} passes,"
        f" {html.escape(found['stopped'])}. {html.escape(compared)}</p>"
        "<div class=wide><table><tr><th>Metric<th class=n>Teacher<th class=n>Student"
        f"<th class=n>Alone<th class=n>Gain<th>So</tr>{metrics}</table></div>"
    )


def _metric(name: str, found: Mapping[str, Any]) -> str:
    alone, gain, so = "", "", "not compared"
    if found["seeds"]:
        alone = f"{sum(seed['alone'] for seed in found['seeds']) / len(found['seeds']):.4f}"
        gain, so = f"{found['gain']:+.4f}", "one seed says nothing"
    if "gain_low" in found:
        low, high = found["gain_low"], found["gain_high"]
        gain += f" ({low:+.4f} to {high:+.4f})"
        so = "the teacher helps" if low > 0 else "the teacher harms" if high < 0 else "no telling"
    return (
        f"<tr><td>{html.escape(name)}<td class=n>{found['teacher']:.4f}"
        f"<td class=n>{found['student']:.4f}<td class=n>{alone}<td class=n>{gain}<td>{so}</tr>"
    )
