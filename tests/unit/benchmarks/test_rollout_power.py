"""The simulation of rollouts: that it draws what it says, and counts what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rollout_power import SLO_MS, Behaviour, drawn, soon
from serve.traffic.samples import latency_bin
from serve.traffic.shift import distance


def test_counts_are_drawn_as_told() -> None:
    random = np.random.default_rng(1)
    sample = drawn(random, 20_000, Behaviour(failed=0.1, refused=0.2, slow=0.05))
    assert sample.answered + sample.failed + sample.refused == 20_000
    assert sample.refused == pytest.approx(4000, rel=0.05)
    assert sample.failed == pytest.approx(1600, rel=0.1)
    late = sum(n for k, n in sample.latencies.items() if k > latency_bin(round(SLO_MS * 1e6)))
    assert late == pytest.approx(0.05 * sample.answered, rel=0.1)


@pytest.mark.parametrize(("mean", "apart"), [(0.0, 0.0), (0.507, 0.2), (1.349, 0.5)])
def test_means_of_scores_lie_as_far_apart_as_they_are_called(mean: float, apart: float) -> None:
    random = np.random.default_rng(1)
    new, stable = drawn(random, 20_000, Behaviour(score=mean)), drawn(random, 20_000, Behaviour())
    assert distance(new.scores, stable.scores) == pytest.approx(apart, abs=0.02)


def test_a_fault_is_found_or_said_not_to_be() -> None:
    random = np.random.default_rng(1)
    cell = soon(random, Behaviour(failed=0.5), number=0, runs=3)
    middle, late = (int(part) for part in cell.rstrip(")").split(" ("))
    assert 0 < middle <= late < 100
    assert soon(random, Behaviour(), number=3, runs=1, looks=3) == "not in 15"
