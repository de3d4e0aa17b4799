"""Counts of gateways that come, go and come back."""

from __future__ import annotations

import pytest

from serve.traffic.rollout import LOADING, READY
from serve.traffic.samples import Sample
from serve.traffic.sums import GONE_S, MOST_GONE, RECENT_S, Reports, VersionSeen


def seen(answered: int = 0, state: str = "READY", reason: str = "") -> VersionSeen:
    sample = Sample(answered=answered, latencies={7: answered} if answered else {})
    return VersionSeen(state=state, reason=reason, sample=sample)


def one(answered: int) -> dict[str, dict[int, VersionSeen]]:
    return {"m": {3: seen(answered)}}


def test_counts_of_gateways_are_added_up() -> None:
    reports = Reports()
    reports.take("a", one(5), 0.0)
    reports.take("b", one(7), 0.1)
    reports.take("a", one(6), 0.5)
    assert reports.sample("m", 3) == Sample(answered=13, latencies={7: 13})
    assert reports.sample("m", 4) == reports.sample("other", 3) == Sample()


def test_counts_of_a_gateway_that_is_gone_stay() -> None:
    reports = Reports()
    reports.take("old", one(5), 0.0)
    for look in range(1, 500):
        reports.take("new", one(look), look / 2)
    assert reports.sample("m", 3).answered == 5 + 499


def test_gateway_that_comes_back_is_not_counted_twice() -> None:
    reports = Reports()
    reports.take("a", one(5), 0.0)
    reports.take("b", one(1), GONE_S + 1)
    assert reports.sample("m", 3).answered == 6
    reports.take("a", one(9), GONE_S + 2)
    assert reports.sample("m", 3) == Sample(answered=10, latencies={7: 10})
    reports.take("b", {}, 3 * GONE_S)
    assert reports.sample("m", 3).answered == 9


def test_gateways_that_were_started_again_and_again_are_bounded_and_all_counted() -> None:
    reports = Reports()
    number = MOST_GONE + 300
    for life in range(number):
        reports.take(f"life {life}", one(2), life * (GONE_S + 1))
    assert reports.sample("m", 3).answered == 2 * number
    assert len(reports._last) == 1
    assert len(reports._gone) == MOST_GONE


def test_many_gateways_that_all_report_are_all_counted() -> None:
    reports = Reports()
    for look in range(3):
        for gateway in range(600):
            reports.take(f"{gateway}", one(look), look / 2)
    assert reports.sample("m", 3).answered == 1200


@pytest.mark.parametrize(
    ("a", "b", "readiness"),
    [
        (seen(), seen(), READY),
        (seen(), seen(state="LOADING"), LOADING),
        (seen(), None, LOADING),
        (seen(), seen(state="UNAVAILABLE", reason="no file"), "no file"),
        (seen(state="LOADING"), seen(state="UNAVAILABLE"), "it is not served"),
    ],
)
def test_version_is_ready_once_it_is_everywhere(
    a: VersionSeen, b: VersionSeen | None, readiness: str
) -> None:
    reports = Reports()
    reports.take("a", {"m": {3: a}}, 0.0)
    reports.take("b", {"m": {} if b is None else {3: b}}, 0.1)
    assert reports.readiness("m", 3, 1.0) == readiness


def test_gateway_that_was_silent_says_nothing_about_readiness() -> None:
    reports = Reports()
    assert reports.readiness("m", 3, 0.0) == LOADING
    reports.take("a", {"m": {3: seen(state="UNAVAILABLE", reason="no file")}}, 0.0)
    reports.take("b", one(1), RECENT_S)
    assert reports.readiness("m", 3, RECENT_S) == "no file"
    assert reports.readiness("m", 3, RECENT_S + 1) == READY
    assert reports.highest_ready("m", RECENT_S + 1) == 3
    assert reports.highest_ready("m", 3 * RECENT_S) == 0
    assert reports.readiness("m", 3, 3 * RECENT_S) == LOADING
