"""How long batches take, by their rows and by the length of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optimize.report.markup import number, section, table
from optimize.report.plots import Sample, lines

__all__ = ["latency", "lengths", "throughput"]

SHOWN = 4
"""Candidates besides the original that one plot can show."""
Rows = Sequence[Mapping[str, Any]]


def latency(report: Mapping[str, Any]) -> str:
    """p50 with the band to p99, the chosen candidate first."""
    series = {name: [_latency(row) for row in rows] for name, rows in _shown(report).items()}
    shown = _timed(report)
    original = [row for row in _typical(shown[0]) if "original_p50_ns" in row] if shown else []
    if original:
        series["the original, in its own library (p50)"] = [
            Sample(row["batch"], ms, ms, ms)
            for row in original
            for ms in [row["original_p50_ns"] / 1e6]
        ]
    if not series:
        return ""
    plot = lines(series, "rows in a batch", "ms")
    note = "<p class=legend>Medians; the band of the first reaches to its p99.</p>"
    return section("Latency against batch size", plot + note)


def throughput(report: Mapping[str, Any]) -> str:
    """Rows a second of one batch after another."""
    series = {name: [_throughput(row) for row in rows] for name, rows in _shown(report).items()}
    if not series:
        return ""
    plot = lines(series, "rows in a batch", "rows a second")
    note = (
        "<p class=legend>At the median; the band of the first reaches down to what its p99"
        " leaves.</p>"
    )
    return section("Throughput against batch size", plot + note)


def lengths(report: Mapping[str, Any]) -> str:
    """The chosen candidate, or the first that was timed, at each length of rows."""
    shown = _timed(report)
    if not shown or shown[0]["profile"]["typical_length"] is None:
        return ""
    profile = shown[0]["profile"]
    by_length: dict[int, list[Mapping[str, Any]]] = {}
    for row in sorted(profile["rows"], key=lambda row: (row["length"], row["batch"])):
        by_length.setdefault(row["length"], []).append(row)
    series = {
        f"{length} long{' (typical)' if length == profile['typical_length'] else ''}": [
            _latency(row) for row in rows
        ]
        for length, rows in by_length.items()
    }
    figures = [
        [
            (str(row["length"]), "n"),
            (str(row["batch"]), "n"),
            *((number(row[name] / 1e6), "n") for name in ("p50_ns", "p95_ns", "p99_ns")),
            (number(row["batch"] / row["p50_ns"] * 1e9), "n"),
            (str(row["count"]), "n"),
        ]
        for rows in by_length.values()
        for row in rows
    ]
    heads = ["Length", "Rows", "p50 ms", "p95 ms", "p99 ms", "Rows a second", "Calls"]
    plot = lines(series, "rows in a batch", "ms")
    return section(f"Length of rows: {shown[0]['name']}", plot + table(heads, figures))


def _timed(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Candidates with a profile: the chosen one, then those that pass, then the others."""
    order = {"pass": 0, "inconclusive": 1, "fail": 2}
    return sorted(
        (each for each in report["candidates"] if each["profile"]),
        key=lambda each: (each["name"] != report["chosen"], order[each["verdict"]]),
    )


def _shown(report: Mapping[str, Any]) -> dict[str, Rows]:
    return {each["name"]: _typical(each) for each in _timed(report)[:SHOWN]}


def _typical(candidate: Mapping[str, Any]) -> Rows:
    profile = candidate["profile"]
    return [row for row in profile["rows"] if row["length"] == profile["typical_length"]]


def _latency(row: Mapping[str, Any]) -> Sample:
    return _sample(row, lambda took_ns: took_ns / 1e6)


def _throughput(row: Mapping[str, Any]) -> Sample:
    return _sample(row, lambda took_ns: row["batch"] / took_ns * 1e9)


def _sample(row: Mapping[str, Any], figure: Callable[[float], float]) -> Sample:
    middle, far = figure(row["p50_ns"]), figure(row["p99_ns"])
    return Sample(row["batch"], middle, min(middle, far), max(middle, far))
