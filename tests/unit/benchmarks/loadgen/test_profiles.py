"""Profiles are phases."""

from benchmarks.loadgen.profiles import ramp, steady, steps


def test_steady_has_a_warmup_that_does_not_count():
    warmup, phase = steady(100.0, 30.0, warmup_s=3.0)

    assert (warmup.rate_per_s, warmup.duration_s, warmup.measured) == (100.0, 3.0, False)
    assert (phase.rate_per_s, phase.duration_s, phase.measured) == (100.0, 30.0, True)
    assert steady(100.0, 30.0) == (phase,)


def test_ramp_is_one_phase_with_two_rates():
    (phase,) = ramp(10.0, 100.0, 5.0)

    assert (phase.rate_per_s, phase.end_rate_per_s) == (10.0, 100.0)


def test_steps_are_named_by_number_and_rate():
    assert [phase.name for phase in steps((100.0, 500.0, 100.0), 1.0)] == [
        "1: 100/s",
        "2: 500/s",
        "3: 100/s",
    ]
