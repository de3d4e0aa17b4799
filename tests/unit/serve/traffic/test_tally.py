"""Counts put together look by look: dispersion, tails and weights."""

from __future__ import annotations

import numpy as np
import pytest

from serve.traffic.samples import Sample, latency_bin_ms
from serve.traffic.tally import Tally


def tally_of(*looks: Sample) -> Tally:
    tally = Tally()
    for look in looks:
        tally.add(look)
    return tally


def test_looks_add_up() -> None:
    tally = tally_of(
        Sample(answered=3, failed=1, refused=2, latencies={5: 3}),
        Sample(answered=4, latencies={5: 1, 8: 3}),
    )
    assert (tally.accepted, tally.asked, tally.timed) == (8, 10, 7)
    assert (tally.failures().hits, tally.failures().trials) == (1, 8)
    assert (tally.refusals().hits, tally.refusals().trials) == (2, 10)
    assert (tally.slower(5).hits, tally.slower(5).trials) == (3, 7)
    assert tally.slower(8).hits == 0


def test_nothing_has_a_rate_of_nothing() -> None:
    rate = Tally().failures()
    assert (rate.hits, rate.trials, rate.looks, rate.share) == (0, 0, 0, 0.0)
    assert rate.independent == (0, 0)


def test_looks_without_requests_do_not_count() -> None:
    assert tally_of(Sample(answered=3), Sample(), Sample()).failures().looks == 1


def test_independent_failures_are_not_dispersed() -> None:
    random = np.random.default_rng(1)
    trials = random.integers(5, 50, 2000).tolist()
    looks = [
        Sample(answered=n - k, failed=k) for n in trials for k in [int(random.binomial(n, 0.2))]
    ]
    assert tally_of(*looks).failures().dispersion == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("size", [2, 25])
def test_failures_in_bursts_are_dispersed_by_their_size(size: int) -> None:
    random = np.random.default_rng(1)
    bursts = random.poisson(0.5, 3000).tolist()
    looks = [Sample(answered=1000 - size * n, failed=size * n) for n in bursts]
    rate = tally_of(*looks).failures()
    assert rate.dispersion == pytest.approx(size, rel=0.1)
    assert rate.independent[0] == pytest.approx(sum(bursts), rel=0.1)


def test_what_is_as_bad_in_each_look_is_not_dispersed() -> None:
    rate = tally_of(*[Sample(answered=5, failed=5)] * 4).failures()
    assert rate.dispersion == 1
    assert tally_of(*[Sample(failed=5)] * 4).failures().independent == (20, 20)


@pytest.mark.parametrize("seed", range(5))
def test_the_tail_is_that_of_each_bin(seed: int) -> None:
    random = np.random.default_rng(seed)
    looks = [
        Sample(latencies={int(n): int(random.integers(1, 50)) for n in random.integers(0, 20, 5)})
        for _ in range(8)
    ]
    tally = tally_of(*looks)
    for number in range(20):
        hits = np.array([sum(c for n, c in k.latencies.items() if n > number) for k in looks])
        trials = np.array([sum(k.latencies.values()) for k in looks])
        rate = tally.slower(number)
        assert (rate.hits, rate.trials, rate.looks) == (hits.sum(), trials.sum(), 8)
        expected = trials * rate.share
        if 0 < rate.hits < rate.trials:
            apart = ((hits - expected) ** 2).sum() / (expected * (1 - rate.share)).sum() * 8 / 7
            assert rate.dispersion == pytest.approx(max(1, apart))


def test_p99_is_that_of_a_sample() -> None:
    sample = Sample(latencies={10: 98, 20: 1, 30: 1})
    number = tally_of(sample).p99_bin()
    assert number is not None
    assert latency_bin_ms(number) == sample.quantile_ms(0.99)
    assert Tally().p99_bin() is None


def test_latencies_beyond_all_bins_are_kept_in_the_last() -> None:
    tally = tally_of(Sample(latencies={600: 2, 700: 1, 3: 1}))
    assert tally.timed == 4
    assert tally.slower(3).hits == 3
    assert tally.slower(10_000).hits == 0


def test_rows_of_a_look_weigh_as_much_as_its_requests() -> None:
    tally = tally_of(
        Sample(answered=10, scores={1: 10}), Sample(answered=2, scores={1: 100, 5: 900})
    )
    assert tally.scored == pytest.approx(12)
    assert tally.scores == pytest.approx({1: 10.2, 5: 1.8})


def test_requests_without_a_score_weigh_nothing() -> None:
    assert tally_of(Sample(answered=10, scores={1: 4})).scored == 4
    assert tally_of(Sample(answered=0, scores={1: 4})).scored == 0


def test_a_copy_that_gets_an_error_disagrees() -> None:
    tally = tally_of(Sample(compared=8, disagreed=1, shadow_failed=2))
    assert (tally.disagreed, tally.compared) == (3, 10)
