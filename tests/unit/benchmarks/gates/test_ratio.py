"""Verdicts on ratios, by simulation: what a slower server and an identical one are called.

The noise is that of the gates' own rounds on a shared machine of two cores, as
``docs/benchmarks.md`` has it, and worse.
"""

import math

import numpy as np
import pytest

from benchmarks.gates.confirmation import needs_second, settled
from benchmarks.gates.judge import Judge
from benchmarks.gates.outcome import Attempt
from benchmarks.gates.ratio import pairs_of
from benchmarks.gates.spec import Gate, Noise
from benchmarks.gates.verdict import Verdict
from benchmarks.measurement import Round
from tests.support.measurements import measurement, noise, rounds

CPU = "server_cpu_us_per_req"
MAX_RATIO = 1.05
SHIPPED, SHORT = (24, 8), (12, 6)
"""Pairs and starts: of the smoke gate, and of the shortest that the self-check takes."""
SPREAD, OF_START = 0.06, 0.04
"""Of a round, and of two processes of one build: measured, the second its upper limit."""
UNPINNED = (0.14, 0.18)
"""The same where servers move between the cores."""


def noisy_rounds(ratio, rng, spread, of_start, pairs, starts):
    """Rounds with a drift that both share, one in twenty far off, and luck of each process."""
    drift, taken = 0.0, []
    for number in range(pairs):
        start = number * starts // pairs
        if not number or start != taken[-1].start:
            luck = {"candidate": rng.normal(0, of_start), "baseline": 0.0}
        drift = 0.9 * drift + rng.normal(0, 0.03)
        for side, factor in (("candidate", ratio), ("baseline", 1.0)):
            off = rng.exponential(0.2) if rng.random() < 0.05 else 0.0
            value = 30 * factor * math.exp(drift + luck[side] + off + rng.normal(0, spread))
            metrics = {CPU: value}
            taken.append(
                Round(contender=side, number=number, start=start, metrics=metrics, quiet=False)
            )
    return tuple(taken)


def gate_verdicts(ratio, count, *, size=SHIPPED, spread=SPREAD, of_start=OF_START, ratios=1):
    """The first measurements' verdicts, and the gate's."""
    rng = np.random.default_rng(7)
    judge = Judge(noise=Noise(), ratios=ratios)
    gate = Gate(metric=CPU, max_ratio=MAX_RATIO)
    firsts, verdicts = [], []
    for _ in range(count):
        attempts = []
        for number in (1, 2):
            taken = noisy_rounds(ratio, rng, spread, of_start, *size)
            found = judge.finding(gate, measurement({CPU: 30.0}, rounds=taken, noise=noise(0.5)))
            attempts.append(Attempt(number=number, verdict=found.verdict, findings=(found,)))
            if not needs_second(attempts[0]):
                break
        firsts.append(attempts[0].verdict)
        verdicts.append(settled(attempts)[-1].verdict)
    return firsts, verdicts


def test_identical_builds_fail_less_than_once_in_a_thousand():
    _, verdicts = gate_verdicts(1.0, 1500)
    assert verdicts.count(Verdict.FAIL) == 0


def test_identical_builds_seldom_fail_however_large_the_noise():
    firsts, verdicts = gate_verdicts(1.0, 2000, spread=UNPINNED[0], of_start=UNPINNED[1])
    assert firsts.count(Verdict.FAIL) / 2000 <= 0.025
    assert verdicts.count(Verdict.FAIL) <= 2


def test_one_measurement_at_the_limit_misses_as_often_as_its_interval_says():
    firsts, _ = gate_verdicts(MAX_RATIO, 1000, size=SHORT)
    assert 0.01 <= firsts.count(Verdict.FAIL) / 1000 <= 0.034


@pytest.mark.parametrize("size", [SHIPPED, SHORT])
def test_server_slowed_by_a_tenth_passes_once_in_a_thousand_at_most(size):
    _, verdicts = gate_verdicts(1.10, 2000, size=size)
    assert verdicts.count(Verdict.PASS) <= 2


def test_most_runs_are_decided_where_rounds_repeat_within_three_percent():
    quiet = {"spread": 0.03, "of_start": 0.01}
    _, same = gate_verdicts(1.0, 100, **quiet)
    _, slower = gate_verdicts(1.10, 100, **quiet)
    assert same.count(Verdict.PASS) >= 70
    assert slower.count(Verdict.FAIL) >= 70


def test_pairs_that_come_from_too_few_starts_decide_nothing():
    taken = noisy_rounds(1.3, np.random.default_rng(1), 0.01, 0.0, 24, 2)
    found = Judge(noise=Noise()).finding(
        Gate(metric=CPU, max_ratio=MAX_RATIO), measurement({CPU: 30.0}, rounds=taken)
    )
    assert found.verdict is Verdict.INVALID
    assert "2 starts" in found.reason
    assert "`starts`" in found.reason


def test_pairs_are_of_rounds_that_both_ran():
    taken = rounds(CPU, count=3)
    assert [number for number, _, _ in pairs_of(taken[:-1], CPU)] == [0, 1]
    assert pairs_of(taken, "latency_ms.p99") == []
