"""Traffic rules as Prometheus families: shares, copies and outcomes."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serve.monitoring.metrics import ServerMetrics

__all__ = ["traffic_families"]

LABELS = ["model", "version"]


def traffic_families(metrics: ServerMetrics) -> Iterable[Metric]:
    """One sample of each for every version that rules name."""
    weight = GaugeMetricFamily(
        "penstock_traffic_weight",
        "Share of the requests that name no version, 0 to 1.",
        labels=LABELS,
    )
    copies = CounterMetricFamily(
        "penstock_shadow_copies",
        "Copies for a shadow: its answer agreed or disagreed, it failed, or the copy was dropped.",
        labels=[*LABELS, "outcome"],
    )
    outcomes = CounterMetricFamily(
        "penstock_outcomes", "Predictions whose outcome callers have told.", labels=LABELS
    )
    sums = CounterMetricFamily(
        "penstock_outcomes_value", "Sum of the outcomes that callers have told.", labels=LABELS
    )
    for names, traffic in metrics.traffic().items():
        weight.add_metric(names, traffic.weight)
        for outcome in ("agreed", "disagreed", "failed", "dropped"):
            copies.add_metric([*names, outcome], getattr(traffic, outcome))
        outcomes.add_metric(names, traffic.outcomes)
        sums.add_metric(names, traffic.outcome_sum)
    return (weight, copies, outcomes, sums)
