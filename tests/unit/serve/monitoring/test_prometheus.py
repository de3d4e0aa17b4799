from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from serve.clock import NS_PER_MS
from serve.monitoring.metrics import ReplicaMetrics, ServerMetrics
from serve.monitoring.prometheus import exposition


def scrape(metrics: ServerMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    page = exposition(metrics, lambda: [("m", "1", "READY")], {"penstock_x": ("X.", lambda: 7)})
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page().decode())
        for sample in family.samples
    }


def test_exposition_has_durations_in_seconds_by_stage_and_protocol() -> None:
    metrics = ServerMetrics()
    metrics.version("m", "1").series["grpc"].total.observe(20 * NS_PER_MS)
    samples = scrape(metrics)
    labels = (("model", "m"), ("protocol", "grpc"), ("stage", "total"), ("version", "1"))
    assert samples["penstock_request_duration_seconds_sum", labels] == 0.02
    name = "penstock_request_duration_seconds_bucket"
    assert samples[name, tuple(sorted((*labels, ("le", "0.01"))))] == 0
    assert samples[name, tuple(sorted((*labels, ("le", "0.025"))))] == 1


def test_exposition_has_counts_states_gauges_and_the_process() -> None:
    metrics = ServerMetrics()
    metrics.version("m", "1").refusals["slo"] += 2
    metrics.count_error("http", "not_found", "")
    samples = scrape(metrics)
    version = (("model", "m"), ("version", "1"))
    refused = tuple(sorted((*version, ("reason", "slo"))))
    assert samples["penstock_refusals_total", refused] == 2
    errors = (("code", "not_found"), ("model", ""), ("protocol", "http"))
    assert samples["penstock_errors_total", errors] == 1
    ready = tuple(sorted((*version, ("state", "READY"))))
    assert samples["penstock_model_state", ready] == 1
    assert samples["penstock_x", ()] == 7
    assert samples["process_cpu_seconds_total", ()] > 0


def test_exposition_has_replicas_where_there_are_any() -> None:
    metrics = ServerMetrics()
    replicas = metrics.version("m", "1").replicas = ReplicaMetrics(states={"ready": 2}, slots=4)
    replicas.transport.observe(NS_PER_MS)
    replicas.retries["lost"] += 3
    replicas.given_up += 1
    metrics.version("local", "1")
    samples = scrape(metrics)
    version = (("model", "m"), ("version", "1"))
    assert samples["penstock_replicas", (version[0], ("state", "ready"), version[1])] == 2
    assert samples["penstock_replica_slots", version] == 4
    lost = (version[0], ("reason", "lost"), version[1])
    assert samples["penstock_batch_retries_total", lost] == 3
    assert samples["penstock_batches_given_up_total", version] == 1
    assert samples["penstock_batch_transport_seconds_sum", version] == 0.001
