"""How a candidate's answers differ from the original's: gates, layers, errors, the worst rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimize.report.markup import number, section, table, text
from optimize.report.plots import bars, ranked_bars

__all__ = ["quality", "sensitivity"]

MOST_LAYERS = 24


def sensitivity(report: Mapping[str, Any]) -> str:
    """What the answers lose where each layer alone is quantised, the worst first."""
    measured = [each for each in report["candidates"] if each["sensitivity"]]
    if not measured:
        return ""
    measured.sort(key=lambda each: each["name"] != report["chosen"])
    layers = sorted(measured[0]["sensitivity"], key=lambda layer: -float(layer["error"]))
    values = [
        (
            " + ".join(layer["layers"][:2]) + (" …" if len(layer["layers"]) > 2 else ""),
            float(layer["error"]),
            "kept" if layer["kept"] else "",
        )
        for layer in layers[:MOST_LAYERS]
    ]
    plot = ranked_bars(values, "error of the answers, as a share of their standard deviation")
    more = f" {len(layers) - MOST_LAYERS} more are below." if len(layers) > MOST_LAYERS else ""
    return section(
        "Sensitivity of layers",
        f"{plot}<p class=legend>Each was quantised alone. Those in the other colour stayed in FP32"
        f" in {text(measured[0]['name'])}.{more}</p>",
    )


def quality(report: Mapping[str, Any]) -> str:
    """Of the chosen candidate; where nothing was chosen, of the first that was verified."""
    found = [each for each in report["candidates"] if each["errors"]]
    if not found:
        return ""
    one = next((each for each in found if each["name"] == report["chosen"]), found[0])
    gates = [
        [
            (text(gate["name"]), ""),
            (gate["verdict"], gate["verdict"]),
            (number(gate.get("limit")), "n"),
            (number(gate.get("value")), "n"),
            (number(gate.get("bound")), "n"),
            (text(gate.get("detail", "")), ""),
        ]
        for gate in one["gates"]
    ]
    histogram = bars(one["errors"]["histogram"], "largest difference in a row, by decade")
    worst = [
        [
            (str(row["row"]), "n"),
            (number(row["error"], 3), "n"),
            (_numbers(row["original"]), ""),
            (_numbers(row["candidate"]), ""),
            (_inputs(row["inputs"]), "soft long"),
        ]
        for row in one["errors"]["worst"]
    ]
    name = text(one["name"])
    return (
        section(
            "Gates",
            f"<p class=soft>{name}</p>"
            + table(["Gate", "Verdict", "Limit", "Value", "Bound", "Detail"], gates),
        )
        + section("How far its answers are from the original's", histogram)
        + section(
            "The worst rows",
            table(["Row", "Difference", "Original", "Candidate", "Inputs"], worst),
        )
    )


def _numbers(values: list[Any]) -> str:
    return ", ".join(f"{float(value):.5g}" for value in values)


def _inputs(inputs: Mapping[str, str]) -> str:
    return " · ".join(f"{text(name)}: {text(value)}" for name, value in inputs.items())
