from __future__ import annotations

from serve.monitoring.metrics import ServerMetrics, TrafficMetrics
from serve.monitoring.traffic_families import traffic_families


def test_families_tell_shares_copies_and_outcomes() -> None:
    metrics = ServerMetrics()
    told = TrafficMetrics(
        weight=0.05, agreed=1, disagreed=2, failed=3, dropped=4, outcomes=5, outcome_sum=2.5
    )
    metrics.traffic = lambda: {("m", "4"): told}
    samples = {
        (sample.name.removeprefix("penstock_"), *sample.labels.values()): sample.value
        for family in traffic_families(metrics)
        for sample in family.samples
    }
    assert samples == {
        ("traffic_weight", "m", "4"): 0.05,
        ("shadow_copies_total", "m", "4", "agreed"): 1,
        ("shadow_copies_total", "m", "4", "disagreed"): 2,
        ("shadow_copies_total", "m", "4", "failed"): 3,
        ("shadow_copies_total", "m", "4", "dropped"): 4,
        ("outcomes_total", "m", "4"): 5,
        ("outcomes_value_total", "m", "4"): 2.5,
    }


def test_server_without_rules_has_no_samples() -> None:
    assert not any(family.samples for family in traffic_families(ServerMetrics()))
