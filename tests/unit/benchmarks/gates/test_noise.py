"""Whether the machine was quiet enough."""

import math

from benchmarks.gates.noise import disturbance, foreign_share, preflight
from benchmarks.gates.spec import Noise
from benchmarks.measurement import NoiseSample


def test_foreign_share_leaves_out_what_was_not_watched():
    samples = [NoiseSample(0, 0.2, math.nan), NoiseSample(1, math.nan, math.nan)]
    assert foreign_share(samples) == 0.2
    assert math.isnan(foreign_share([]))


def test_disturbance_names_share_and_limit():
    samples = [NoiseSample(0, 0.3, 0.9)]
    assert disturbance(samples, Noise()) == (
        "others used 30% of the machine meanwhile, more than the 10% allowed"
    )
    assert disturbance(samples, Noise(foreign_max=0.5)) == ""


def test_preflight_waits_until_calm():
    shares = iter([0.5, 0.3, 0.05, 0.9])
    assert preflight(Noise(), lambda: next(shares), lambda: 0.0) == (0.5, 0.3, 0.05)


def test_preflight_gives_up_when_its_time_is_over():
    times = iter([0.0, 4.0, 11.0])
    assert preflight(Noise(), lambda: 0.5, lambda: next(times)) == (0.5, 0.5)
