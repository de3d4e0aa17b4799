"""Verdicts on ratios, by simulation: what a slower server and an identical one are called."""

import math

import numpy as np
import pytest

from benchmarks.gates.judge import Judge
from benchmarks.gates.ratio import pairs_of
from benchmarks.gates.spec import Gate, Noise
from benchmarks.measurement import Round
from tests.support.measurements import measurement, noise, rounds

CPU = "server_cpu_us_per_req"
ROUNDS, STARTS, MAX_RATIO, RATIOS = 24, 4, 1.05, 2
"""As the shipped gate files have them."""


def noisy_rounds(ratio: float, seed: int, spread: float) -> tuple[Round, ...]:
    """Rounds as seen on a shared machine of two cores.

    6 to 8 % a round of CPU per request, a drift that both share, one round in twenty far off, and
    one percent between two processes of one build, for as long as they live.
    """
    rng = np.random.default_rng(seed)
    drift, taken = 0.0, []
    for number in range(ROUNDS):
        if number % (ROUNDS // STARTS) == 0:
            luck = {"candidate": rng.normal(0, 0.01), "baseline": rng.normal(0, 0.01)}
        drift = 0.9 * drift + rng.normal(0, 0.03)
        for side, factor in (("candidate", ratio), ("baseline", 1.0)):
            off = rng.exponential(0.3) if rng.random() < 0.05 else 0.0
            own = drift + luck[side] + off + rng.normal(0, spread)
            value = 30 * factor * math.exp(own)
            taken.append(Round(contender=side, number=number, metrics={CPU: value}, quiet=False))
    return tuple(taken)


def verdict(ratio, seed, spread):
    judge = Judge(noise=Noise(), seed=seed, ratios=RATIOS)
    measured = measurement({CPU: 30.0}, rounds=noisy_rounds(ratio, seed, spread), noise=noise(0.5))
    return judge.finding(Gate(metric=CPU, max_ratio=MAX_RATIO), measured).verdict


@pytest.mark.parametrize("spread", [0.03, 0.06, 0.08])
def test_server_slowed_by_a_tenth_never_passes_in_20_of_20(spread):
    assert {verdict(1.10, seed, spread) for seed in range(20)} <= {"fail", "inconclusive"}


@pytest.mark.parametrize("spread", [0.03, 0.06, 0.08])
def test_identical_builds_never_fail_in_20_of_20(spread):
    assert {verdict(1.0, seed, spread) for seed in range(100, 120)} <= {"pass", "inconclusive"}


def test_most_runs_are_decided_where_rounds_repeat_within_three_percent():
    assert [verdict(1.0, seed, 0.03) for seed in range(20)].count("pass") >= 14
    assert [verdict(1.10, seed, 0.03) for seed in range(20)].count("fail") >= 14


def test_pairs_are_of_rounds_that_both_ran():
    taken = rounds(CPU, count=3)
    assert [number for number, _, _ in pairs_of(taken[:-1], CPU)] == [0, 1]
    assert pairs_of(taken, "latency_ms.p99") == []
