from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from optimize.report.page import render, write_report


def report() -> dict[str, Any]:
    row = {"batch": 1, "p50_ns": 1e5, "p95_ns": 2e5, "speedup": 1.2, "original_p50_ns": 9e6}
    candidate = {
        "name": "export → <b>clean</b>",
        "lossy": False,
        "threads": 1,
        "verdict": "pass",
        "reason": "",
        "gates": [{"name": "parity", "verdict": "pass", "limit": 1e-5, "value": 0.0}],
        "metrics": {"roc_auc": {"original": 0.9, "candidate": 0.9, "drop": 0.0}},
        "errors": {
            "histogram": {"1e-9": 7, "1e-8": 0},
            "worst": [{"row": 3, "error": float("inf"), "original": [1.0], "candidate": [2.0]}],
        },
        "profile": {"rows": [row], "size_bytes": 1000},
    }
    skipped = {
        **candidate,
        "name": "export → quantize-dynamic",
        "verdict": "skipped",
        "reason": "the graph has no MatMul",
        "gates": [],
        "metrics": {},
        "errors": {},
        "profile": {},
    }
    return {
        "schema_version": 1,
        "model": "fraud",
        "metrics": ["roc_auc"],
        "objective": "latency",
        "at_batch": 1,
        "chosen": candidate["name"],
        "edge_rows": {"asked": 10, "refused": 2},
        "candidates": [candidate, skipped],
        "environment": {"hardware": "cpu-x-2c", "load_average": [0.1], "libraries": {"onnx": "1"}},
    }


def test_render_shows_every_candidate_and_why_one_is_out() -> None:
    page = render(report())
    assert "the graph has no MatMul" in page
    assert "export → &lt;b&gt;clean" in page
    assert "<b>clean" not in page


def test_render_needs_nothing_from_elsewhere() -> None:
    page = render(report())
    assert not re.search(r"https?://|<script|<link|url\(", page)
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page
    assert 'name="viewport"' in page


def test_render_says_that_nothing_was_packaged() -> None:
    assert "Nothing was packaged" in render({**report(), "chosen": ""})


def test_results_are_json_without_infinities(tmp_path: Path) -> None:
    write_report(tmp_path, report())

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert found["candidates"][0]["errors"]["worst"][0]["error"] == "inf"
