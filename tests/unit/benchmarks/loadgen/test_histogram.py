"""Histograms keep three digits, and add up."""

import numpy as np
import pytest

from benchmarks.loadgen.histogram import encode, latency, merge, percentile_ms
from benchmarks.loadgen.spec import Latency


def test_latency_is_within_a_thousandth_of_the_ranked_values():
    found = latency(encode(np.arange(1, 1501) / 1000))

    assert (found.p50, found.p90, found.p99) == pytest.approx((750, 1350, 1485), rel=1e-3)
    assert (found.p999, found.max) == pytest.approx((1499, 1500), rel=1e-3)


def test_merge_is_the_histogram_of_all_values():
    values = np.random.default_rng(0).exponential(0.01, 3000)

    merged = merge([encode(values[:1000]), encode(values[1000:])])

    assert latency(merged) == latency(encode(values))
    assert percentile_ms(merged, 99) == pytest.approx(np.percentile(values, 99) * 1e3, rel=0.02)


def test_latency_is_zero_when_nothing_was_answered():
    assert latency(encode(np.empty(0))) == latency(merge([])) == Latency()


def test_encode_keeps_what_is_out_of_range_at_the_ends():
    found = latency(encode(np.array([1e-9, 1e6])))

    assert found.p50 == 0.001
    assert found.max == pytest.approx(3.6e6, rel=1e-3)
