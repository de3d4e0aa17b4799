"""Two servers' rounds at several numbers of connections, into figures."""

from __future__ import annotations

import pytest

from benchmarks.scenarios.levels import (
    Level,
    LevelParams,
    curve_of,
    error_rate,
    planned_s,
    rounds_of,
)
from benchmarks.scenarios.rounds import Seen

CPU = "server_cpu_us_per_req"


def seen(cpu_us: float, *, failed: float = 0.0, quiet: float = 1.0) -> Seen:
    """A round of 100 requests."""
    return {
        "rate_per_s.ok": 1e6 / cpu_us,
        "latency_ms.p50": cpu_us / 10,
        "latency_ms.p99": cpu_us,
        CPU: cpu_us,
        "requests": 100.0,
        "failed": failed,
        "quiet": quiet,
    }


@pytest.fixture
def levels() -> list[Level]:
    """The candidate costs a half more with eight callers, and the same with 64."""
    return [
        Level(8, [seen(30.0), seen(36.0, failed=2), seen(33.0)], [seen(20.0), seen(24), seen(22)]),
        Level(64, [seen(10.0)] * 3, [seen(10.0), seen(10.0, quiet=0.0), seen(10.0, failed=4)]),
    ]


def test_a_ratio_is_of_the_candidate_to_the_baseline_pair_by_pair(levels: list[Level]) -> None:
    assert levels[0].ratio(CPU) == pytest.approx((1.5, 1.5, 1.5))
    assert levels[0].both(CPU) == ([30.0, 36.0, 33.0], [20.0, 24.0, 22.0])


def test_medians_are_named_by_their_level_and_the_baselines_by_its_name(
    levels: list[Level],
) -> None:
    assert levels[0].medians((CPU, "latency_ms.p50"), "floor") == {
        f"at_8.{CPU}": 33.0,
        "at_8.latency_ms.p50": pytest.approx(3.3),
        f"at_8.floor.{CPU}": 22.0,
        "at_8.floor.latency_ms.p50": pytest.approx(2.2),
    }


def test_rounds_are_pairs_under_the_name_of_their_level(levels: list[Level]) -> None:
    rounds = rounds_of(levels)
    assert [(one.contender, one.number) for one in rounds[:3]] == [
        ("candidate", 0),
        ("baseline", 0),
        ("candidate", 1),
    ]
    assert rounds[2].metrics[f"at_8.{CPU}"] == 36.0
    assert f"at_64.{CPU}" in rounds[6].metrics
    assert [one.quiet for one in rounds] == [True] * 9 + [False, True, True]


def test_a_curve_is_the_candidates(levels: list[Level]) -> None:
    assert [(one.x, one.p99_ms) for one in curve_of(levels)] == [(8, 33.0), (64, 10.0)]


def test_errors_count_of_both_servers_at_every_level(levels: list[Level]) -> None:
    assert error_rate(levels) == pytest.approx(6 / 1200)


def test_a_plan_counts_both_servers_and_the_round_that_warms_up() -> None:
    brief = LevelParams(levels=(1,), rounds=1, round_s=1.0)
    more = LevelParams(levels=(1, 2), rounds=1, round_s=1.0)
    a_load_s = (planned_s(more) - planned_s(brief)) / 4
    assert 1.0 < a_load_s < 2.0
    assert planned_s(brief) == pytest.approx(2 * 1.0 + 4 * a_load_s)
