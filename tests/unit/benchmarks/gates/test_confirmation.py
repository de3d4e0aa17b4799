"""Two measurements of one missed ratio, and what they are together."""

import math

import msgspec
import pytest

from benchmarks.gates.confirmation import needs_second, settled
from benchmarks.gates.findings import Finding
from benchmarks.gates.outcome import Attempt
from benchmarks.gates.spec import Gate
from benchmarks.gates.verdict import Verdict, combined

RATIO = Gate(metric="server_cpu_us_per_req", max_ratio=1.05)
ERRORS = Gate(metric="error_rate", op="<=", value=0)


def attempt(number, ratio, errors="pass", error="", interval=(1.1, 1.3), gate=RATIO):
    if error:
        return Attempt(number=number, verdict=Verdict.ERROR, error=error)
    findings = tuple(
        Finding.of(gate).ended(Verdict(verdict), f"{verdict} in {number}")
        for gate, verdict in ((gate, ratio), (ERRORS, errors))
    )
    low, high = interval
    findings = (msgspec.structs.replace(findings[0], low=low, high=high), findings[1])
    verdict = combined(one.verdict for one in findings)
    return Attempt(number=number, verdict=verdict, findings=findings)


@pytest.mark.parametrize(
    ("again", "interval", "together"),
    [
        ("fail", (1.06, 1.2), "fail"),
        ("inconclusive", (1.01, 1.2), "fail"),
        ("inconclusive", (0.99, 1.2), "inconclusive"),
        ("pass", (0.97, 1.04), "inconclusive"),
        ("invalid", (math.nan, math.nan), "inconclusive"),
    ],
)
def test_missed_ratio_is_a_fail_if_the_second_measurement_is_worse_too(again, interval, together):
    first, last = settled([attempt(1, "fail"), attempt(2, again, interval=interval)])

    assert (first.verdict, first.discarded) == ("fail", False)
    assert (last.verdict, last.confirms) == (together, 1)
    assert f"{again} in 2" in last.findings[0].reason
    assert "fail in 1" in last.findings[0].reason


@pytest.mark.parametrize(
    ("limit", "interval", "together"),
    [
        ({"min_ratio": 0.9}, (0.8, 0.99), "fail"),
        ({"min_ratio": 0.9}, (0.8, 1.01), "inconclusive"),
        ({"min_ratio": 2}, (1.8, 1.99), "fail"),
        ({"min_ratio": 2}, (1.8, 2.01), "inconclusive"),
        ({"max_ratio": 0.5}, (0.51, 0.6), "fail"),
        ({"max_ratio": 0.5}, (0.49, 0.6), "inconclusive"),
    ],
)
def test_worse_depends_on_what_the_limit_asks_for(limit, interval, together):
    gate = Gate(metric="rate_per_s.ok", **limit)
    again = attempt(2, "inconclusive", interval=interval, gate=gate)

    assert settled([attempt(1, "fail", gate=gate), again])[-1].verdict == together


def test_missed_ratio_that_was_not_measured_again_is_no_fail():
    (only,) = settled([attempt(1, "fail")], not_again="no time")

    assert only.verdict == "inconclusive"
    assert only.findings[0].reason == "fail in 1; not measured again: no time"


def test_absolute_limit_counts_whichever_measurement_missed_it():
    assert settled([attempt(1, "fail", "fail"), attempt(2, "pass")])[-1].verdict == "fail"
    assert settled([attempt(1, "fail"), attempt(2, "pass", "fail")])[-1].verdict == "fail"


def test_second_measurement_that_did_not_run_is_an_error():
    last = settled([attempt(1, "fail"), attempt(2, "", error="no port")])[-1]

    assert (last.verdict, last.confirms) == ("error", 1)


def test_invalid_attempts_on_the_way_are_discarded():
    attempts = [attempt(1, "invalid"), attempt(2, "fail"), attempt(3, "invalid")]
    seen = settled([*attempts, attempt(4, "fail")])

    assert [one.discarded for one in seen] == [True, False, True, False]
    assert (seen[-1].verdict, seen[-1].confirms) == ("fail", 2)


def test_only_a_missed_ratio_is_measured_again():
    assert needs_second(attempt(1, "fail"))
    assert not needs_second(attempt(1, "pass", "fail"))
    assert not needs_second(attempt(1, "inconclusive"))
    assert settled([attempt(1, "pass")]) == (attempt(1, "pass"),)
