from __future__ import annotations

from typing import Any

import pytest

from optimize.report.distilling import distilling


def report(gain: dict[str, float], seeds: int = 2) -> dict[str, Any]:
    found = {
        "name": "distil(<b>)",
        "parameters": 1234567,
        "rows": {"labelled": 1000, "unlabelled": 20, "left_out": 3},
        "steps": 99,
        "epochs": 4,
        "stopped": "no better for 2 epochs",
        "compared": seeds,
        "not_compared": "" if seeds else "there are no labels",
        "metrics": {
            "accuracy": {
                "teacher": 0.9,
                "student": 0.8,
                "seeds": [{"seed": 0, "taught": 0.8, "alone": 0.7}] * seeds,
                **gain,
            }
        },
    }
    return {"candidates": [{"distil": found}, {"distil": {}}, {"distil": found}, {}]}


@pytest.mark.parametrize(
    ("low", "high", "so"),
    [(0.1, 0.3, "helps"), (-0.3, -0.1, "harms"), (-0.1, 0.1, "no telling")],
)
def test_distilling_says_what_the_seeds_can_tell(low: float, high: float, so: str) -> None:
    page = distilling(report({"gain": 0.1, "gain_low": low, "gain_high": high}))
    assert page.count("1,234,567 weights") == 1
    assert "0.7000" in page and so in page and "&lt;b&gt;" in page
    assert "3 more are in the evaluation set" in page


def test_distilling_says_that_nothing_was_compared() -> None:
    page = distilling(report({}, seeds=0))
    assert "there are no labels" in page and "not compared" in page


def test_distilling_is_nothing_without_students() -> None:
    assert distilling({"candidates": [{"distil": {}}]}) == ""


def test_distilling_trusts_no_single_seed() -> None:
    page = distilling(report({"gain": 0.1}, seeds=1))
    assert "Compared over 1 seed." in page and "one seed tells little" in page
