"""How every version is, from what the server knows."""

from __future__ import annotations

import pytest

from serve.clock import NS_PER_MS
from serve.gateway.overview import (
    Member,
    Overview,
    Replicas,
    Row,
    make_overview,
    quantile_ms,
    scrape_targets,
)
from serve.monitoring.metrics import Histogram, ServerMetrics

INDEX = [
    {"name": "m", "version": "1", "state": "READY", "reason": ""},
    {"name": "broken", "version": "", "state": "UNAVAILABLE", "reason": "no model.onnx"},
]


def overview(metrics: ServerMetrics, replicas=None) -> Overview:
    return make_overview("s", True, INDEX, metrics, {("m", "1"): ("onnx", 2)}, replicas)


def test_overview_has_a_row_for_every_version_and_why_one_is_not_served():
    served, broken = overview(ServerMetrics()).models
    assert served == Row(name="m", version="1", state="READY", platform="onnx", slots=2)
    assert broken == Row(name="broken", version="", state="UNAVAILABLE", reason="no model.onnx")


def test_overview_counts_over_all_protocols():
    metrics = ServerMetrics()
    version = metrics.version("m", "1")
    version.successes, version.failures, version.cancellations = 5, 2, 1
    version.refusals.update(slo=3, queue_full=4)
    version.in_flight, version.queued_rows = 6, 7
    version.series["http"].total.observe(2 * NS_PER_MS, 99)
    version.series["grpc"].total.observe(70 * NS_PER_MS)
    row = overview(metrics).models[0]
    assert (row.requests, row.errors, row.refused) == (8, 2, 7)
    assert (row.in_flight, row.queued_rows) == (6, 7)
    assert row.p50_ms == pytest.approx(1 + 1.5 * 50 / 99)
    assert row.p99_ms == pytest.approx(2.5)


def test_overview_is_remote_where_models_run_in_replicas():
    replicas = Replicas(least=1, most=3, ready=1, members=(Member(name="a", state="ready"),))
    found = overview(ServerMetrics(), {("m", "1"): replicas})
    assert found.remote
    assert [row.replicas for row in found.models] == [replicas, None]
    assert not overview(ServerMetrics()).remote


def test_targets_are_this_process_and_the_engines_with_metrics():
    members = (
        Member(name="a", state="ready", admin="10.0.0.1:9001", node="n1"),
        Member(name="b", state="connecting"),
    )
    replicas = Replicas(least=1, most=3, ready=1, members=members)
    assert scrape_targets("own:1", overview(ServerMetrics(), {("m", "1"): replicas})) == [
        {"targets": ["own:1"], "labels": {"role": "gateway"}},
        {"targets": ["10.0.0.1:9001"], "labels": {"role": "engine", "node": "n1"}},
    ]
    assert scrape_targets("own:1", overview(ServerMetrics())) == [
        {"targets": ["own:1"], "labels": {"role": "server"}}
    ]


@pytest.mark.parametrize(
    ("values", "share", "ms"),
    [
        ([], 0.5, None),
        ([5], 0.5, 5.0),
        ([5, 15], 0.5, 10.0),
        ([5, 15], 1.0, 20.0),
        ([99], 0.5, 20.0),  # beyond the last bound
        ([5, 99], 0.99, 20.0),
    ],
)
def test_quantile_is_spread_evenly_inside_a_bucket(values, share, ms):
    histogram = Histogram((10 * NS_PER_MS, 20 * NS_PER_MS))
    for value in values:
        histogram.observe(value * NS_PER_MS)
    assert quantile_ms(histogram, share) == ms
