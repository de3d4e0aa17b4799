"""The report as one page that needs nothing else: for a phone, for print, for the dark."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimize.report.plots import Point, bars, lines, scatter

__all__ = ["render", "write_report"]

STYLE = """
:root{--ink:#1b1f24;--paper:#fff;--soft:#667;--rule:#d9dde3;--good:#1a7f4b;--bad:#c0392b;
--open:#b7791f;--a:#2563eb;--b:#d97706;--c:#059669;--d:#9333ea;--e:#dc2626;--f:#0891b2}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#14171b;--soft:#9aa4b2;
--rule:#323842;--good:#4ade80;--bad:#f87171;--open:#fbbf24;--a:#60a5fa;--b:#fbbf24;--c:#34d399;
--d:#c084fc;--e:#f87171;--f:#22d3ee}}
@media print{:root{--ink:#000;--paper:#fff;--soft:#444;--rule:#bbb;--good:#14532d;--bad:#7f1d1d;
--open:#713f12}svg{min-width:0}section{break-inside:avoid}}
*{box-sizing:border-box}body{margin:0 auto;max-width:60rem;padding:1rem;color:var(--ink);
background:var(--paper);font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem}
h2{font-size:1.15rem;margin-top:2rem}p.soft,.legend{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.35rem .5rem;border-bottom:1px solid var(--rule);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.pass{color:var(--good);fill:var(--good)}.fail,.skipped{color:var(--bad);fill:var(--bad)}
.inconclusive{color:var(--open);fill:var(--open)}.chosen{font-weight:600}
svg{width:100%;min-width:32rem;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--soft)}
svg g line{stroke:var(--rule)}svg circle.pick{fill:var(--good);stroke:var(--ink);stroke-width:2}
svg polyline{fill:none;stroke-width:2}.bar{fill:var(--a)}
.line0{stroke:var(--a);fill:var(--a)}.line1{stroke:var(--b);fill:var(--b)}
.line2{stroke:var(--c);fill:var(--c)}.line3{stroke:var(--d);fill:var(--d)}
.line4{stroke:var(--e);fill:var(--e)}.line5{stroke:var(--f);fill:var(--f)}
polyline.line0,polyline.line1,polyline.line2,polyline.line3,polyline.line4,polyline.line5{fill:none}
.key{display:inline-block;width:.8em;height:.8em;margin-right:.4em}
.key.line0{background:var(--a)}.key.line1{background:var(--b)}.key.line2{background:var(--c)}
.key.line3{background:var(--d)}.key.line4{background:var(--e)}.key.line5{background:var(--f)}
code{font-size:.85em;overflow-wrap:anywhere}
"""


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``index.html`` and ``results.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_plain(report), indent=1, default=str, allow_nan=False)
    (folder / "results.json").write_text(text + "\n")
    (folder / "index.html").write_text(render(report))


def _plain(value: Any) -> Any:
    """The same without NaN and infinities, for which JSON has no numbers."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def render(report: Mapping[str, Any]) -> str:
    """The whole page."""
    name = html.escape(report["model"])
    chosen = report["chosen"]
    tried = [each for each in report["candidates"] if each["verdict"] != "skipped"]
    passed = sum(each["verdict"] == "pass" for each in tried)
    head = (
        f"<p>Chosen: <strong class=pass>{html.escape(chosen)}</strong></p>"
        if chosen
        else "<p><strong class=fail>Nothing was packaged: no candidate passed every gate."
        "</strong></p>"
    )
    edge = report["edge_rows"]
    head += (
        f"<p class=soft>{len(tried)} candidates tried, {passed} passed. Each was asked"
        f" {edge['asked']} edge rows besides the evaluation rows; {edge['refused']} more were"
        " left out, because the original refuses them itself.</p>"
    )
    sections = [_pareto(report), _candidates(report), _latency(report), _chosen(report)]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{name}: optimisation report</title><style>{STYLE}</style>"
        f"<h1>{name}: optimisation report</h1>{head}{''.join(sections)}{_environment(report)}"
        "</html>\n"
    )


def _at(candidate: Mapping[str, Any], batch: int) -> dict[str, Any]:
    rows: list[dict[str, Any]] = candidate["profile"]["rows"]
    return min(rows, key=lambda row: abs(row["batch"] - batch))


def _pareto(report: Mapping[str, Any]) -> str:
    metric, batch = report["metrics"][0], report["at_batch"]
    points: list[Point] = []
    for each in report["candidates"]:
        if each["profile"] and metric in each["metrics"]:
            kind = each["verdict"] + (" pick" if each["name"] == report["chosen"] else "")
            title = f"{each['name']}: {each['reason'] or 'passes'}"
            latency_ms = _at(each, batch)["p95_ns"] / 1e6
            points.append((latency_ms, each["metrics"][metric]["candidate"], kind, title))
    if not points:
        return ""
    plot = scatter(points, f"p95 of a batch of {batch}, ms", metric)
    return (
        f"<section><h2>Metric against latency</h2>{plot}<p class=legend>Green passes, red fails,"
        " amber could not be told; the ring is the chosen one. Up and to the left is better."
        " Candidates that failed before they were timed are in the table only.</p></section>"
    )


def _candidates(report: Mapping[str, Any]) -> str:
    batch, metric = report["at_batch"], report["metrics"][0]
    rows = []
    for each in report["candidates"]:
        cells = ["", "", "", ""]
        if metric in each["metrics"]:
            cells[0] = f"{each['metrics'][metric]['candidate']:.4f}"
        if each["profile"]:
            row = _at(each, batch)
            cells[1] = f"{row['p50_ns'] / 1e6:.3f}"
            cells[2] = f"{row['speedup']:.2f} ×"
            cells[3] = f"{each['profile']['size_bytes'] / 1e6:.3f}"
        kind = " class=chosen" if each["name"] == report["chosen"] else ""
        numbers = "".join(f"<td class=n>{cell}</td>" for cell in cells)
        rows.append(
            f"<tr{kind}><td>{html.escape(each['name'])}</td>"
            f"<td class={each['verdict']}>{each['verdict']}</td>{numbers}"
            f"<td>{html.escape(each['reason'])}</td></tr>"
        )
    return (
        "<section><h2>Every candidate</h2><div class=wide><table><tr><th>Candidate<th>Verdict"
        f"<th class=n>{html.escape(metric)}<th class=n>p50 ms<th class=n>Speed-up<th class=n>MB"
        f"<th>Why</tr>{''.join(rows)}</table></div><p class=legend>Speed-up over the plain export"
        f" on one thread, batches of {batch}, measured in turns with it.</p></section>"
    )


def _latency(report: Mapping[str, Any]) -> str:
    series: dict[str, list[tuple[float, float]]] = {}
    throughput: dict[str, list[tuple[float, float]]] = {}
    shown = [each for each in report["candidates"] if each["profile"]]
    shown.sort(key=lambda each: each["name"] != report["chosen"])
    for each in shown[:5]:
        rows = each["profile"]["rows"]
        series[each["name"]] = [(row["batch"], row["p50_ns"] / 1e6) for row in rows]
        throughput[each["name"]] = [
            (row["batch"], row["batch"] / row["p50_ns"] * 1e9) for row in rows
        ]
    if not shown:
        return ""
    original = [row for row in shown[0]["profile"]["rows"] if "original_p50_ns" in row]
    if original:
        series["the original, in its own library"] = [
            (row["batch"], row["original_p50_ns"] / 1e6) for row in original
        ]
    return (
        "<section><h2>Latency against batch size</h2>"
        f"{lines(series, 'rows in a batch', 'p50, ms')}</section>"
        "<section><h2>Throughput against batch size</h2>"
        f"{lines(throughput, 'rows in a batch', 'rows a second')}</section>"
    )


def _chosen(report: Mapping[str, Any]) -> str:
    chosen = next((c for c in report["candidates"] if c["name"] == report["chosen"]), None)
    if chosen is None:
        return ""
    gates = "".join(
        f"<tr><td>{html.escape(gate['name'])}<td class={gate['verdict']}>{gate['verdict']}"
        f"<td class=n>{_number(gate.get('limit'))}<td class=n>{_number(gate.get('value'))}"
        f"<td class=n>{_number(gate.get('bound'))}<td>{html.escape(gate.get('detail', ''))}</tr>"
        for gate in chosen["gates"]
    )
    errors = chosen["errors"]
    worst = "".join(
        f"<tr><td class=n>{row['row']}<td class=n>{row['error']:.3g}"
        f"<td>{_list(row['original'])}<td>{_list(row['candidate'])}</tr>"
        for row in errors["worst"]
    )
    return (
        "<section><h2>Gates of the chosen candidate</h2><div class=wide><table><tr><th>Gate"
        f"<th>Verdict<th class=n>Limit<th class=n>Value<th class=n>Bound<th>Detail</tr>{gates}"
        "</table></div></section><section><h2>How far its answers are from the original's</h2>"
        f"{bars(errors['histogram'], 'largest difference in a row, by decade')}</section>"
        "<section><h2>The worst rows</h2><div class=wide><table><tr><th class=n>Row"
        f"<th class=n>Difference<th>Original<th>Candidate</tr>{worst}</table></div></section>"
    )


def _environment(report: Mapping[str, Any]) -> str:
    environment = report["environment"]
    libraries = ", ".join(f"{name} {version}" for name, version in environment["libraries"].items())
    load = ", ".join(map(str, environment["load_average"]))
    return (
        f"<section><h2>Measured on</h2><p><code>{html.escape(environment['hardware'])}</code>,"
        f" load average {load}</p><p class=soft>{html.escape(libraries)}</p></section>"
    )


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, int | float) else html.escape(str(value))


def _list(values: list[float]) -> str:
    return ", ".join(f"{float(value):.5g}" for value in values)
