"""The same result on the terminal, as Markdown and as JSON."""

import io
import json

import pytest
from rich.console import Console

from benchmarks.report import document, markdown, table
from benchmarks.report.text import limit_text, number_text, value_text
from benchmarks.result import Check, Figure, Result

RESULT = Result(
    "small",
    (Check(Figure("ratio", 0.5, "×", 0.4, 0.6), ">=", 0.65),),
    (Figure("floor", 31234.5, "req/s"),),
    notes=("a note",),
    details={"rounds": [1, 2]},
)
FACTS = {"cpu": "a cpu", "cores": 2, "python": "3.11", "load_average": [0.1, 0.2, 0.3]}


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (3.14159, "3.14"), (31234.5, "31,234"), (0.0012345, "0.00123")]
)
def test_number_text_is_short(value, text):
    assert number_text(value) == text


def test_value_text_has_unit_and_range():
    assert value_text(Figure("x", 1.5, "ms", 1.0, 2.0)) == ("1.5 ms", "1 – 2")
    assert value_text(Figure("x", 1.0)) == ("1", "")


def test_limit_text_marks_a_missed_limit():
    assert limit_text(RESULT.checks[0]) == "≥ 0.65 ✗"


def test_markdown_has_every_figure_and_note():
    text = markdown.render([RESULT], FACTS)

    assert "## small: fail" in text
    assert "| **ratio** | 0.5 × | 0.4 – 0.6 | ≥ 0.65 ✗ |" in text
    assert "| floor | 31,234 req/s |" in text
    assert "> a note" in text


def test_table_has_every_figure_and_note():
    console = Console(file=io.StringIO(), width=100)
    console.print(table.render(RESULT))
    text = console.file.getvalue()

    assert all(part in text for part in ("small: fail", "ratio", "floor", "a note"))


def test_document_has_the_rounds():
    read = json.loads(document.render([RESULT], FACTS, {"rounds": 3}))

    assert read["machine"]["cores"] == 2
    (scenario,) = read["scenarios"]
    assert scenario["details"] == {"rounds": [1, 2]}
    assert scenario["checks"][0]["passed"] is False
