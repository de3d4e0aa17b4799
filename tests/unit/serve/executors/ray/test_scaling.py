"""How many replicas are wanted, by what the replicas report."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from serve.executors.ray.scaling import Load, UtilisationPolicy, wanted_replicas

IDLE, BUSY, FULL = Load(0.0, 0.0), Load(0.6, 0.0), Load(1.0, 3.0)


@pytest.mark.parametrize(
    ("loads", "current", "wanted"),
    [
        ([], 3, 3),
        ([], 0, 1),
        ([IDLE], 1, 1),
        ([BUSY], 1, 1),
        ([Load(0.61, 0.0)], 1, 1),
        ([Load(0.9, 0.0)], 1, 2),
        ([BUSY, BUSY, IDLE, IDLE], 4, 2),
        ([FULL], 1, 2),
        ([FULL] * 4, 4, 7),
        ([FULL] * 9, 9, 10),
        ([IDLE] * 9, 9, 1),
        ([Load(0.5, 3.0)] * 4, 4, 6),
    ],
)
def test_replicas_follow_utilisation(loads: list[Load], current: int, wanted: int) -> None:
    assert wanted_replicas(loads, current, 0.6, fewest=1, most=10) == wanted


def test_full_replicas_grow_until_the_load_fits() -> None:
    work, replicas, steps = 7.3, 1, [1]
    while True:
        used = min(1.0, work / replicas)
        load = Load(used, 2.0 if used == 1.0 else 0.0)
        wanted = wanted_replicas([load] * replicas, replicas, 0.6, 1, 50)
        if wanted == replicas:
            break
        replicas = wanted
        steps.append(replicas)
    assert steps == [1, 2, 4, 7, 12, 13]


def test_policy_reads_what_serve_gathered() -> None:
    context = SimpleNamespace(
        aggregated_metrics={
            "utilisation": {"a": 1.0, "b": 0.8},
            "queued": {"a": 0.0},
        },
        target_num_replicas=2,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
    )
    assert UtilisationPolicy(0.6)(context) == (3, {})
    context.aggregated_metrics = None
    assert UtilisationPolicy(0.6)(context) == (2, {})
