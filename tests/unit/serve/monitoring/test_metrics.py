from __future__ import annotations

from serve.monitoring.metrics import Histogram, ServerMetrics


def test_histogram_buckets_are_cumulative_and_bounds_inclusive() -> None:
    histogram = Histogram((1, 10))
    for value in (1, 2, 10, 11):
        histogram.observe(value)
    assert list(histogram.cumulative()) == [(1, 1), (10, 3), (None, 4)]
    assert histogram.total == 24


def test_histogram_observe_all_equals_single_observations() -> None:
    one, many = Histogram((1, 10)), Histogram((1, 10))
    for value in (3, 30):
        one.observe(value)
    assert many.observe_all([3, 30]) == 33
    assert (one.counts, one.total) == (many.counts, many.total)


def test_version_metrics_are_kept_when_a_version_returns() -> None:
    metrics = ServerMetrics()
    metrics.version("m", "1").rows = 5
    assert metrics.version("m", "1").rows == 5
