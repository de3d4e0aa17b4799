"""Verdicts follow from the checks."""

import pytest

from benchmarks.result import Check, Figure, Result, Verdict

GOOD = Check(Figure("a", 1.0), "<=", 1.0)
BAD = Check(Figure("b", 0.5), ">=", 0.9)


@pytest.mark.parametrize(
    ("value", "op", "limit", "passed"),
    [
        (1.0, "<=", 1.0, True),
        (1.1, "<=", 1.0, False),
        (0.9, ">=", 0.9, True),
        (0.8, ">=", 0.9, False),
        (float("nan"), "<=", 1.0, False),
        (float("nan"), ">=", 1.0, False),
    ],
)
def test_check_compares_its_figure(value, op, limit, passed):
    assert Check(Figure("x", value), op, limit).passed is passed


@pytest.mark.parametrize(
    ("checks", "invalid", "verdict"),
    [
        ((), "", Verdict.PASS),
        ((GOOD,), "", Verdict.PASS),
        ((GOOD, BAD), "", Verdict.FAIL),
        ((GOOD,), "too busy", Verdict.INVALID),
        ((BAD,), "too busy", Verdict.INVALID),
    ],
)
def test_result_verdict_is_the_worst_of_its_checks(checks, invalid, verdict):
    assert Result("scenario", checks, invalid=invalid).verdict is verdict
