"""Counts put together look by look: bursts, tails and weights."""

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
    assert tally.slower(5) == 3
    assert tally.slower(8) == 0


def test_a_burst_counts_as_the_third_worst_look_does() -> None:
    looks = [Sample(answered=90, failed=n, refused=n, latencies={9: n}) for n in (1, 100, 2, 0, 70)]
    tally = tally_of(*looks)
    assert tally.failed == 173
    assert tally.lasting_failed() == tally.lasting_refused() == 3 + 2 * 2
    assert tally.lasting_slower(8) == 7
    assert tally.lasting_slower(9) == 0


def test_what_is_as_bad_in_each_look_counts_in_full() -> None:
    assert tally_of(*[Sample(failed=5)] * 4).lasting_failed() == 20


def test_a_single_look_is_a_burst() -> None:
    assert tally_of(Sample(failed=50, latencies={4: 30})).lasting_failed() == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_lasting_tail_is_that_of_each_bin(seed: int) -> None:
    random = np.random.default_rng(seed)
    looks = [
        Sample(latencies={int(n): int(random.integers(1, 50)) for n in random.integers(0, 20, 5)})
        for _ in range(8)
    ]
    tally = tally_of(*looks)
    for number in range(20):
        tails = sorted(sum(c for n, c in k.latencies.items() if n > number) for k in looks)
        assert tally.lasting_slower(number) == sum(tails[:6]) + 2 * tails[5]
        assert tally.slower(number) == sum(tails)


def test_p99_is_that_of_a_sample() -> None:
    sample = Sample(latencies={10: 98, 20: 1, 30: 1})
    number = tally_of(sample).p99_bin()
    assert number is not None
    assert latency_bin_ms(number) == sample.quantile_ms(0.99)
    assert Tally().p99_bin() is None


def test_latencies_beyond_all_bins_are_kept_in_the_last() -> None:
    tally = tally_of(Sample(latencies={600: 2, 700: 1, 3: 1}))
    assert tally.timed == 4
    assert tally.slower(3) == 3
    assert tally.lasting_slower(10_000) == 0


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
