"""Columns of requests become counts and a timeline."""

import numpy as np
import pytest

from benchmarks.loadgen import histogram
from benchmarks.loadgen.outcomes import phase_report, slices
from benchmarks.loadgen.spec import Phase

STATUS = np.array([200, 204, 503, 429, 500, 0, 1000, 1014, 1003])
LATENCY_S = np.array([0.01, 0.2, 0.001, 0.001, 0.001, 0.0, 0.03, 0.001, 0.001])
PHASE = Phase("steady", 9.0, 1.0)


def test_phase_report_tells_good_refused_and_failed_apart():
    report = phase_report(PHASE, 1.0, LATENCY_S, STATUS, unhinted=1, slo_s=0.1)

    assert (report.offered, report.ok, report.good) == (9, 3, 2)
    assert (report.refused, report.refusals_without_hint, report.failed) == (3, 1, 3)
    assert report.statuses["lost"] == report.statuses["OK"] == report.statuses["UNAVAILABLE"] == 1
    assert (report.error_rate, report.ok_per_s) == (pytest.approx(1 / 3), 3.0)


def test_phase_report_has_the_latency_of_good_answers_only():
    report = phase_report(PHASE, 1.0, LATENCY_S, STATUS, unhinted=0, slo_s=0.1)

    assert report.latency_ms.max == pytest.approx(200.0, rel=1e-3)
    assert report.latency_ms.p50 == pytest.approx(30.0, rel=1e-3)
    assert histogram.latency(report.histogram) == report.latency_ms


def test_slices_count_by_intended_time_and_leave_out_empty_ones():
    due_s = np.array([0.0, 0.1, 0.5, 1.7])
    status = np.array([200, 503, 500, 200])

    parts = slices(due_s, np.full(4, 0.02), status, width_s=0.5)

    assert [(one.number, one.offered, one.ok, one.refused, one.failed) for one in parts] == [
        (0, 2, 1, 1, 0),
        (1, 1, 0, 0, 1),
        (3, 1, 1, 0, 0),
    ]
