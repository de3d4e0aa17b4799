"""Every candidate: where it stands between metric and latency, and why it is in or out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optimize.report.markup import at_batch, section, table, text
from optimize.report.plots import Point, scatter

__all__ = ["candidates", "pareto"]


NAMED = 6
"""Of the candidates that were not tried for one reason, so many are named here."""


def pareto(report: Mapping[str, Any]) -> str:
    """The metric against latency, all candidates numbered as in the table."""
    metric, batch = report["metrics"][0], report["at_batch"]
    points: list[Point] = []
    for index, each in enumerate(report["candidates"], start=1):
        if metric not in each["metrics"]:
            continue
        kind = each["verdict"] + (" pick" if each["name"] == report["chosen"] else "")
        latency_ms = at_batch(each, batch)["p95_ns"] / 1e6 if each["profile"] else None
        value = float(each["metrics"][metric]["candidate"])
        title = f"{each['name']}: {each['reason'] or 'passes'}"
        points.append(Point(latency_ms, value, kind, str(index), title))
    if not points:
        return ""
    plot = scatter(points, _front(points), f"p95 of a batch of {batch}, ms", metric)
    return section(
        "Metric against latency",
        f"{plot}<p class=legend>A disc passes, a cross fails, a square could not be told; the ring"
        " is the chosen one, and the broken line joins those that no other beats in both. Up and"
        " to the left is better. Numbers are those of the table.</p>",
    )


def candidates(report: Mapping[str, Any]) -> str:
    """All of them with their figures and, of those that are out, the reason."""
    batch, metric = report["at_batch"], report["metrics"][0]
    rows, kinds = [], []
    skipped: dict[str, list[str]] = {}
    for index, each in enumerate(report["candidates"], start=1):
        if each["verdict"] == "skipped":
            skipped.setdefault(each["reason"], []).append(each["name"])
            continue
        score = p50 = speedup = size = load = ""
        if metric in each["metrics"]:
            score = f"{float(each['metrics'][metric]['candidate']):.4f}"
        if each["profile"]:
            row = at_batch(each, batch)
            p50, speedup = f"{row['p50_ns'] / 1e6:.3f}", f"{row['speedup']:.2f} ×"
            size = f"{each['profile']['size_bytes'] / 1e6:.3f}"
            load = f"{each['profile']['load_ms']:.0f}"
        rows.append(
            [
                (str(index), "n"),
                (text(each["name"]), "long"),
                (each["verdict"], each["verdict"]),
                (score, "n"),
                (p50, "n"),
                (speedup, "n"),
                (size, "n"),
                (load, "n"),
                (text(each["reason"]), "long" if each["reason"] else ""),
            ]
        )
        kinds.append("chosen" if each["name"] == report["chosen"] else "")
    heads = ["#", "Candidate", "Verdict", metric, "p50 ms", "Speed-up", "MB", "Load ms", "Why"]
    return section(
        "Every candidate",
        f"{table(heads, rows, kinds)}<p class=legend>Speed-up over the plain export on one thread,"
        f" batches of {batch}, measured in turns with it. Load: until the first answer.</p>"
        f"{_skipped(skipped)}",
    )


def _skipped(names: Mapping[str, Sequence[str]]) -> str:
    """Those that there is nothing to say of but why they were not tried."""
    if not names:
        return ""
    listed = "".join(
        f"<li><strong>{text(reason)}</strong>: {text('; '.join(each[:NAMED]))}"
        f"{f'; and {len(each) - NAMED} more' if len(each) > NAMED else ''}</li>"
        for reason, each in names.items()
    )
    return f"<p>Not tried:</p><ul class=skipped>{listed}</ul>"


def _front(points: Sequence[Point]) -> list[Point]:
    """Of those that pass, from the quickest on, each that has a better metric than all before."""
    passing = [point for point in points if "pass" in point.kind and point.x is not None]
    front: list[Point] = []
    for point in sorted(passing, key=lambda point: (point.x, -point.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front
