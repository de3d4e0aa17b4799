from __future__ import annotations

from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2

from serve.monitoring.metrics import CacheMetrics, ServerMetrics
from serve.monitoring.statistics import model_statistics


def test_model_statistics_sums_stages_over_batch_sizes() -> None:
    metrics = ServerMetrics().version("m", "1")
    metrics.batches[1].add(1, 10, 100)
    metrics.batches[4].add(2, 20, 200)
    metrics.rows, metrics.successes, metrics.success_ns, metrics.last_ns = 5, 3, 999, 5_000_000
    reply = model_statistics(metrics, epoch_offset_ns=1_000_000)
    assert reply["inference_stats"]["compute_infer"] == {"count": 2, "ns": 30}
    assert reply["inference_stats"]["success"] == {"count": 3, "ns": 999}
    assert [batch["batch_size"] for batch in reply["batch_stats"]] == [1, 4]
    assert (reply["inference_count"], reply["execution_count"]) == (5, 2)
    assert reply["last_inference"] == 6
    ParseDict(reply, service_pb2.ModelStatistics())


def test_model_statistics_has_what_the_cache_answered_and_what_it_did_not() -> None:
    metrics = ServerMetrics().version("m", "1")
    metrics.cache = CacheMetrics(hits=5, hit_ns=50, joined=2, misses=3, miss_ns=90, bypassed=1)
    stats = model_statistics(metrics, 0)["inference_stats"]
    assert stats["cache_hit"] == {"count": 7, "ns": 50}
    assert stats["cache_miss"] == {"count": 3, "ns": 90}


def test_model_statistics_of_a_model_without_a_cache_has_no_hits() -> None:
    stats = model_statistics(ServerMetrics().version("m", "1"), 0)["inference_stats"]
    assert stats["cache_hit"] == stats["cache_miss"] == {"count": 0, "ns": 0}
