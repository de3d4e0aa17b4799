"""The search for the highest rate, against servers with a known limit."""

import itertools

import pytest

from benchmarks.scenarios.search import RateSearch


def run(search, probe, most=100):
    """Probe until the search ends; returns the rates."""
    rates = []
    while (rate := search.next_rate()) is not None:
        rates.append(rate)
        search.record(probe(rate))
        assert len(rates) < most
    return rates


def limit(per_s):
    return lambda rate: "kept" if rate <= per_s else "missed"


@pytest.mark.parametrize("per_s", [60.0, 500.0, 7_300.0, 33_000.0])
def test_search_ends_within_its_precision_of_the_limit(per_s):
    search = RateSearch(start=500.0, precision=0.05)

    run(search, limit(per_s))

    assert search.kept <= per_s < search.missed <= search.kept * 1.05


def test_search_forgives_one_disturbed_probe_of_three():
    disturbed = itertools.cycle(["missed", "kept"])
    search = RateSearch(start=500.0, precision=0.05)

    run(search, lambda rate: next(disturbed) if rate <= 5000 else "missed")

    assert search.kept > 4700


def test_search_takes_noisy_probes_again_and_does_not_count_them():
    seen = []

    def probe(rate):
        seen.append(rate)
        return "kept" if seen.count(rate) > 3 and rate <= 1000 else "noisy"

    search = RateSearch(start=1000.0, growth=2.0, precision=0.5, noisy_retries=3, doubts=0)
    run(search, probe)

    assert search.kept == 1000.0
    assert seen.count(2000.0) == 3 + 2


def test_search_stops_at_the_highest_rate():
    search = RateSearch(start=500.0, highest=3000.0)

    assert run(search, limit(1e9)) == [500.0, 1000.0, 2000.0, 3000.0]
    assert (search.kept, search.missed) == (3000.0, float("inf"))


def test_search_says_when_the_generator_was_the_limit():
    search = RateSearch(start=500.0, precision=0.5)

    run(search, lambda rate: "kept" if rate <= 4000 else "undrivable")

    assert search.is_generator_limited
    assert search.kept == 4000.0


def test_search_gives_up_on_a_server_that_keeps_nothing():
    search = RateSearch(start=8.0)

    rates = run(search, limit(0.0))

    assert rates == [8.0, 8.0, 4.0, 4.0, 2.0, 2.0, 1.0, 1.0]
    assert search.kept == 0.0


def test_search_tries_a_rate_again_that_noise_had_decided():
    probes = []

    def probe(rate):
        probes.append(rate)
        if rate > 7000:
            return "missed"
        return "noisy" if rate > 1900 and len(probes) < 5 else "kept"

    search = RateSearch(start=1000.0, precision=0.05, noisy_retries=1)
    run(search, probe)

    assert search.kept > 6600


def test_search_ends_where_noise_never_does():
    search = RateSearch(start=1000.0, precision=0.05, noisy_retries=1)

    run(search, lambda rate: "kept" if rate <= 1500 else "noisy")

    assert 1400 < search.kept <= 1500
