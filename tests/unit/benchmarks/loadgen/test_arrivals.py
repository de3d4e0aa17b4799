"""Schedules are made beforehand, and have the rate that was asked for."""

import numpy as np
import pytest

from benchmarks.loadgen.arrivals import schedule
from benchmarks.loadgen.spec import Phase

PHASES = (Phase("slow", 1000.0, 10.0), Phase("fast", 5000.0, 2.0))


@pytest.mark.parametrize("kind", ["poisson", "constant"])
def test_schedule_is_ascending_and_within_its_phases(kind):
    times, phases = schedule(PHASES, kind, seed=1)

    assert (np.diff(times) >= 0).all()
    assert times[phases == 0].max() < 10.0
    assert times[phases == 1].min() >= 10.0 and times.max() < 12.0


def test_schedule_constant_has_even_gaps():
    times, _ = schedule((Phase("only", 4.0, 1.0),), "constant", seed=1)

    assert times.tolist() == [0.0, 0.25, 0.5, 0.75]


def test_schedule_poisson_has_exponential_gaps():
    times, phases = schedule(PHASES, "poisson", seed=1)
    gaps = np.diff(times[phases == 0])

    assert len(gaps) == pytest.approx(10_000, rel=0.05)
    assert gaps.mean() == pytest.approx(0.001, rel=0.05)
    assert gaps.std() == pytest.approx(0.001, rel=0.1)


def test_schedule_is_the_same_for_the_same_seed():
    first, second, other = (schedule(PHASES, "poisson", seed)[0] for seed in (1, 1, 2))

    assert np.array_equal(first, second)
    assert not np.array_equal(first[:100], other[:100])


def test_schedule_is_empty_when_nothing_is_offered():
    times, phases = schedule((Phase("none", 0.0, 1.0),), "poisson", seed=1)

    assert times.size == phases.size == 0


@pytest.mark.parametrize("kind", ["poisson", "constant"])
def test_schedule_of_several_processes_is_the_one_schedule_shared_out(kind):
    whole, _ = schedule(PHASES, kind, seed=1)
    parts = [schedule(PHASES, kind, seed=1, process=n, processes=3)[0] for n in range(3)]

    assert np.array_equal(np.sort(np.concatenate(parts)), whole)
    assert [len(part) for part in parts] == pytest.approx([len(whole) / 3] * 3, rel=0.05)


def test_schedule_of_a_process_is_poisson_again():
    times, phases = schedule(PHASES, "poisson", seed=1, process=1, processes=4)
    gaps = np.diff(times[phases == 0])

    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)


@pytest.mark.parametrize(("start", "end"), [(0.0, 2000.0), (2000.0, 0.0), (500.0, 1500.0)])
def test_schedule_ramp_has_the_rate_of_the_moment(start, end):
    times, _ = schedule((Phase("ramp", start, 10.0, end_rate_per_s=end),), "poisson", seed=1)
    first = (times < 5.0).sum()

    assert len(times) == pytest.approx((start + end) / 2 * 10, rel=0.05)
    assert first == pytest.approx((3 * start + end) / 4 * 5, rel=0.05)
    assert times.max() <= 10.0


def test_schedule_constant_ramp_spaces_by_the_rate():
    times, _ = schedule((Phase("ramp", 0.0, 2.0, end_rate_per_s=4.0),), "constant", seed=1)

    assert times.tolist() == pytest.approx([0.0, 1.0, 2**0.5, 3**0.5])
