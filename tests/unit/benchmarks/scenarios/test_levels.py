"""Two servers' rounds at several numbers of connections, into figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from benchmarks.scenarios import levels as levels_module
from benchmarks.scenarios.levels import (
    Level,
    LevelParams,
    compared,
    curve_of,
    planned_s,
    rounds_of,
    take_levels,
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
        Level(
            8,
            [seen(30.0), seen(36.0, failed=2), seen(33.0)],
            {"floor": [seen(20.0), seen(24), seen(22)], "roof": [seen(60.0)] * 3},
        ),
        Level(
            64,
            [seen(10.0)] * 3,
            {
                "floor": [seen(10.0), seen(10.0, quiet=0.0), seen(10.0, failed=4)],
                "roof": [seen(60.0)] * 2 + [seen(60.0, failed=3)],
            },
        ),
    ]


def test_every_server_is_loaded_as_often_at_each_level(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, str, int]] = []

    def load(
        attempt: Any, params: Any, server: Any, payload: Any, connections: int, what: str
    ) -> Callable[[], Seen]:
        return lambda: loaded.append((server, payload, connections)) or seen(connections)

    monkeypatch.setattr(levels_module, "loader", load)
    asked: Any = {"server": ("s", "a"), "floor": ("f", "b"), "roof": ("r", "c")}
    params = LevelParams(levels=(8, 64), rounds=2)
    taken = take_levels(cast(Any, None), params, asked.pop("server"), asked)

    assert [one.connections for one in taken] == [8, 64]
    for one in taken:
        assert one.candidate == one.others["floor"] == one.others["roof"]
        assert one.candidate == [seen(one.connections)] * 2
        assert list(one.others) == ["floor", "roof"]
    assert Counter(loaded) == {
        (*server, level): 3 for server in ("sa", "fb", "rc") for level in (8, 64)
    }


def test_a_ratio_is_of_the_candidate_to_another_pair_by_pair(levels: list[Level]) -> None:
    ends = ("", ".low", ".high")
    assert levels[0].interval("cpu", CPU, "floor") == pytest.approx(
        {f"at_8.cpu{end}": 1.5 for end in ends}
    )
    assert levels[0].ratio(CPU, "floor") == pytest.approx(1.5)
    assert levels[0].ratio(CPU, "roof") == pytest.approx(0.55)
    assert levels[0].both(CPU, "floor") == ([30.0, 36.0, 33.0], [20.0, 24.0, 22.0])


def test_medians_are_named_by_their_level_and_those_of_others_by_their_names(
    levels: list[Level],
) -> None:
    assert levels[0].medians((CPU, "latency_ms.p50")) == {
        f"at_8.{CPU}": 33.0,
        "at_8.latency_ms.p50": pytest.approx(3.3),
        f"at_8.floor.{CPU}": 22.0,
        "at_8.floor.latency_ms.p50": pytest.approx(2.2),
        f"at_8.roof.{CPU}": 60.0,
        "at_8.roof.latency_ms.p50": pytest.approx(6.0),
    }


def test_rounds_are_pairs_with_the_first_other_under_the_name_of_their_level(
    levels: list[Level],
) -> None:
    rounds = rounds_of(levels)
    assert [(one.contender, one.number) for one in rounds[:3]] == [
        ("candidate", 0),
        ("baseline", 0),
        ("candidate", 1),
    ]
    assert [one.metrics[f"at_8.{CPU}"] for one in rounds[2:4]] == [36.0, 24.0]
    assert f"at_64.{CPU}" in rounds[6].metrics
    assert [one.quiet for one in rounds] == [True] * 9 + [False, True, True]


def test_a_curve_is_the_candidates(levels: list[Level]) -> None:
    assert [(one.x, one.p99_ms) for one in curve_of(levels)] == [(8, 33.0), (64, 10.0)]


def test_what_is_compared_is_of_every_level_and_errors_are_of_all_servers(
    levels: list[Level],
) -> None:
    metrics = compared(levels, lambda level: {f"{level.at}cpu": level.ratio(CPU, "floor")})
    assert metrics == pytest.approx({"at_8.cpu": 1.5, "at_64.cpu": 1.0, "error_rate": 9 / 1800})


def test_a_plan_counts_all_servers_and_the_round_that_warms_up() -> None:
    brief = LevelParams(levels=(1,), rounds=1, round_s=1.0)
    more = LevelParams(levels=(1, 2), rounds=1, round_s=1.0)
    a_load_s = (planned_s(more) - planned_s(brief)) / 4
    assert 1.0 < a_load_s < 2.0
    assert planned_s(brief) == pytest.approx(2 * 1.0 + 4 * a_load_s)
    assert planned_s(brief, servers=3) == pytest.approx(1.5 * planned_s(brief))
