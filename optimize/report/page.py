"""The report as one page that needs nothing else: for a phone, for print, for the dark."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimize.report.candidates import candidates, pareto
from optimize.report.distilling import distilling
from optimize.report.markup import section, text
from optimize.report.quality import quality, sensitivity
from optimize.report.speed import latency, lengths, throughput
from optimize.report.style import STYLE

__all__ = ["render", "write_report"]


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
        f"<p class=verdict>Chosen: <strong class=pass>{html.escape(chosen)}</strong></p>"
        if chosen
        else "<p class=verdict><strong class=fail>Nothing was packaged: no candidate passed every"
        " gate.</strong></p>"
    )
    edge = report["edge_rows"]
    head += (
        f"<p class=soft>{len(tried)} candidates tried, {passed} passed. Each was asked"
        f" {edge['asked']} edge rows besides the evaluation rows; {edge['refused']} more were"
        " left out, because the original refuses them itself.</p>"
    )
    speed = f"<div class=two>{latency(report)}{throughput(report)}</div>"
    sections = [pareto(report), candidates(report), distilling(report), speed, lengths(report)]
    sections += [sensitivity(report), quality(report), _environment(report)]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{name}: optimisation report</title><style>{STYLE}</style>"
        f"<h1>{name}: optimisation report</h1>{head}{''.join(sections)}"
        "</html>\n"
    )


def _environment(report: Mapping[str, Any]) -> str:
    found = report["environment"]
    facts = {
        "Machine": f"<code>{text(found['hardware'])}</code>",
        "Cores": text(found["cores"]),
        "Memory": f"{found['memory_mb']} MB",
        "CPU flags": text(" ".join(found["cpu_flags"]) or "none of note"),
        "Governor": text(found["governor"]),
        "Kernel": text(found["kernel"]),
        "Load average": text(", ".join(map(str, found["load_average"]))),
        "Libraries": text(
            ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
        ),
    }
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    return section("Measured on", f"<dl>{listed}</dl>")
