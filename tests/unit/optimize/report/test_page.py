from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from optimize.report.environment import environment
from optimize.report.page import render, write_report
from tests.support.chromium import Chromium


def profile(length: int | None = None) -> dict[str, Any]:
    rows = [
        {
            "batch": batch,
            "length": length,
            "count": 300,
            "p50_ns": 1e5 * batch,
            "p95_ns": 2e5 * batch,
            "p99_ns": 4e5 * batch,
            "speedup": 1.2,
            "original_p50_ns": 9e6 * batch,
        }
        for batch in (1, 8)
    ]
    if length is not None:
        rows += [{**row, "length": 4 * length} for row in rows]
    return {"rows": rows, "typical_length": length, "size_bytes": 1000, "load_ms": 12.0}


def report(length: int | None = None) -> dict[str, Any]:
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
            "worst": [
                {
                    "row": 3,
                    "error": float("inf"),
                    "original": [1.0],
                    "candidate": [2.0],
                    "inputs": {"city": "<i>Köln</i>"},
                }
            ],
        },
        "profile": profile(length),
        "sensitivity": [{"layers": ["ffn_down", "out"], "error": 0.2, "kept": True}],
        "distil": {},
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
        "sensitivity": [],
    }
    rejected = {
        **skipped,
        "name": "export → quantize-static",
        "verdict": "fail",
        "reason": "metric roc_auc: is 0.1",
        "metrics": {"roc_auc": {"original": 0.9, "candidate": 0.8, "drop": 0.1}},
    }
    return {
        "schema_version": 1,
        "model": "fraud",
        "metrics": ["roc_auc"],
        "objective": "latency",
        "at_batch": 1,
        "chosen": candidate["name"],
        "edge_rows": {"asked": 10, "refused": 2},
        "candidates": [candidate, rejected, skipped],
        "environment": environment("cpu-x-2c", {"onnx": "1"}),
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


def test_render_draws_what_was_not_timed_too_and_numbers_all_of_them() -> None:
    page = render(report())
    assert "not timed" in page
    marks = re.findall(r'<g class="(\w+(?: pick)?)"><title>', page)
    assert sorted(marks) == ["fail", "pass pick"]
    assert 'data-label="#">2</td>' in page


def test_render_shows_layers_errors_and_inputs_of_the_worst_rows() -> None:
    page = render(report())
    assert "ffn_down + out" in page
    assert 'class="bar kept"' in page
    assert "city: &lt;i&gt;Köln" in page


def test_render_shows_each_length_of_rows_where_they_vary() -> None:
    assert "Length of rows" not in render(report())
    page = render(report(length=16))
    assert "16 long (typical)" in page
    assert "64 long" in page


def test_page_opens_on_a_phone_without_a_complaint(tmp_path: Path) -> None:
    browser = Chromium(tmp_path / "browser")
    write_report(tmp_path, report(length=16))
    picture = tmp_path / "phone.png"
    flags = ("--window-size=360,640", f"--screenshot={picture}")
    assert browser.complaints(tmp_path / "index.html", *flags) == []
    assert picture.stat().st_size > 5_000


def test_environment_names_flags_and_governor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name : x\nflags : fpu avx2 fma mmx avx512_vnni\n")
    found = environment("cpu-x-2c", {}, tmp_path / "cpuinfo")
    assert found["cpu_flags"] == ["avx2", "avx512_vnni", "fma"]
    assert found["governor"]
    assert environment("cpu-x-2c", {}, tmp_path / "none")["cpu_flags"] == []


def test_render_says_that_nothing_was_packaged() -> None:
    assert "Nothing was packaged" in render({**report(), "chosen": ""})


def test_results_are_json_without_infinities(tmp_path: Path) -> None:
    write_report(tmp_path, report())

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert found["candidates"][0]["errors"]["worst"][0]["error"] == "inf"
