"""Percentiles are exact: values that were measured."""

from benchmarks.loadgen.percentiles import latency_ms
from benchmarks.loadgen.spec import Latency


def test_latency_ms_gives_the_ranked_values():
    seconds = [number / 1000 for number in range(1500, 0, -1)]

    assert latency_ms(seconds) == Latency(
        p50=750.0, p90=1350.0, p99=1485.0, p999=1499.0, max=1500.0
    )


def test_latency_ms_of_one_value_is_that_value():
    assert latency_ms([0.002]) == Latency(2.0, 2.0, 2.0, 2.0, 2.0)


def test_latency_ms_is_zero_when_nothing_was_answered():
    assert latency_ms([]) == Latency()
