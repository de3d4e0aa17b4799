from __future__ import annotations

from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2

from serve.monitoring.metrics import ServerMetrics
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
