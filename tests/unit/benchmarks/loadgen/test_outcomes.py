"""Columns of requests become counts by phase and a timeline."""

import numpy as np
import pytest

from benchmarks.loadgen.outcomes import Outcomes
from benchmarks.loadgen.spec import OpenLoop, Phase


@pytest.fixture
def outcomes():
    """Four requests in two phases of a second, none of them answered yet."""
    spec = OpenLoop(
        port=1,
        request_file="",
        connections=1,
        phases=(Phase("first", 2.0, 1.0), Phase("second", 2.0, 1.0)),
        slo_ms=100.0,
        slice_ms=500.0,
    )
    return Outcomes(spec, np.array([0.0, 0.5, 1.0, 1.5]), np.array([0, 0, 1, 1]))


def test_sum_up_counts_latency_from_the_intended_time(outcomes):
    outcomes.status = [200, 200, 200, 200]
    outcomes.answered_s = [0.05, 0.75, 1.01, 1.52]

    first, second = outcomes.sum_up(0.1).phases

    assert (first.latency_ms.max, first.good) == (250.0, 1)
    assert (second.latency_ms.max, second.good_per_s) == (20.0, 2.0)


def test_sum_up_tells_refusals_from_lost_requests(outcomes):
    outcomes.status = [200, 503, 503, 0]
    outcomes.answered_s = [0.01, 0.51, 1.01, 0.0]
    outcomes.without_hint = [2]

    first, second = outcomes.sum_up(0.1).phases

    assert first.statuses == {"200": 1, "503": 1}
    assert (first.share("503"), first.refusals_without_hint) == (0.5, 0)
    assert second.statuses == {"0": 1, "503": 1}
    assert (second.good, second.refusals_without_hint, second.latency_ms.max) == (0, 1, 0.0)


def test_sum_up_makes_a_timeline_of_slices(outcomes):
    outcomes.status = [200, 200, 503, 200]
    outcomes.answered_s = [0.01, 0.52, 1.01, 1.53]

    timeline = outcomes.sum_up(0.1).timeline

    assert [(s.start_s, s.ok, s.other, s.worst_ms) for s in timeline] == [
        (0.0, 1, 0, 10.0),
        (0.5, 1, 0, 20.0),
        (1.0, 0, 1, 0.0),
        (1.5, 1, 0, 30.0),
    ]


def test_sum_up_reports_a_generator_that_was_late(outcomes):
    outcomes.lag_s = [0.0, 0.0, 0.0, 0.006]

    assert outcomes.sum_up(0.1).late_share == 0.25
