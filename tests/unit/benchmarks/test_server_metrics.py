"""Batches run between two readings of a server's metrics."""

from collections import Counter

from benchmarks import server_metrics
from benchmarks.answers import ask
from benchmarks.payloads import Payload
from benchmarks.server_metrics import batches_between, counted, fetch_batches, parse_batches

TEXT = """# TYPE penstock_batch_rows histogram
penstock_batch_rows_bucket{le="1.0",model="a",version="1"} 2.0
penstock_batch_rows_bucket{le="64.0",model="a",version="1"} 5.0
penstock_batch_rows_bucket{le="+Inf",model="a",version="1"} 6.0
penstock_batch_rows_bucket{le="1.0",model="b",version="1"} 10.0
penstock_batch_rows_bucket{le="64.0",model="b",version="1"} 10.0
penstock_batch_rows_bucket{le="+Inf",model="b",version="1"} 10.0
"""


def test_parse_batches_counts_each_bucket_alone():
    assert parse_batches(TEXT, "a") == {1.0: 2, 64.0: 3, float("inf"): 1}
    assert parse_batches(TEXT, "") == {1.0: 12, 64.0: 3, float("inf"): 1}
    assert parse_batches("nothing", "a") == Counter()


def test_batches_between_takes_off_what_was_before():
    after = parse_batches(TEXT, "a")

    assert batches_between(Counter({1.0: 2, 64.0: 1}), after) == {64: 3}
    assert batches_between(Counter(), Counter()) == {}


def test_fetch_batches_asks_the_admin_port(toy_server):
    ask(toy_server.process, Payload("p", "/v2/models/toy/infer", (), b"{}", 1))

    assert fetch_batches(toy_server, "toy") == {1.0: 1, float("inf"): 0}


def test_counted_sums_the_samples_with_the_labels(monkeypatch, toy_server):
    monkeypatch.setattr(server_metrics, "_page", lambda _: TEXT)
    name = "penstock_batch_rows_bucket"

    assert counted(toy_server, name, le="1.0") == 12
    assert counted(toy_server, name, le="1.0", model="b") == 10
    assert counted(toy_server, name, le="2.0") == counted(toy_server, "other") == 0
