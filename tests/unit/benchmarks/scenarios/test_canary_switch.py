"""What is made of answers that tell their version."""

import pytest

from benchmarks.loadgen.spec import Health, Latency, LoadReport, PhaseReport
from benchmarks.scenarios.canary_switch import Orders, Params, _metrics, share_error_sd


class Admin:
    """Notes what it is told."""

    def __init__(self):
        self.splits = []

    def split(self, weights):
        self.splits.append(weights)


def phase(name, old, new, *, failed=0, wrong=0):
    return PhaseReport(
        name=name,
        duration_s=1.0,
        offered=old + new + failed,
        ok=old + new,
        good=old + new,
        refused=0,
        failed=failed,
        statuses={"answer 0": old, "answer 1": new, "wrong": wrong},
        latency_ms=Latency(p99=2.0),
        histogram="",
    )


def test_shares_are_ordered_one_after_the_other():
    admin = Admin()
    orders = Orders(admin, Params(shares=(10, 100), before_s=4.0, settle_s=1.0, hold_s=2.0))

    for part in (0.0, 0.39, 0.4, 0.5, 0.69, 0.7, 0.8, 1.0):
        orders.at(part)

    assert admin.splits == [{"stable": 90, "canary": 10}, {"stable": 0, "canary": 100}]
    assert (len(orders.took_s), orders.late) == (2, False)


def test_share_is_off_by_standard_deviations():
    assert share_error_sd(100, 1000, 0.1) == 0
    assert share_error_sd(130, 1000, 0.1) == pytest.approx(30 / 9.4868, rel=1e-4)


def test_answers_of_a_version_without_a_share_are_counted(monkeypatch):
    monkeypatch.setattr("benchmarks.scenarios.canary_switch.merge", lambda parts: parts)
    monkeypatch.setattr("benchmarks.scenarios.canary_switch.latency", lambda _: Latency(p99=3.0))
    phases = (
        phase("before", 98, 2),
        phase("to 50", 90, 10),
        phase("at 50", 40, 60),
        phase("to 100", 5, 90, failed=5, wrong=2),
        phase("at 100", 1, 99),
    )
    total = phase("total", 234, 261, failed=5, wrong=2)
    report = LoadReport(tool="own", phases=phases, total=total, health=Health())

    metrics = _metrics(report, Params(shares=(50, 100)))

    assert (metrics["excluded"], metrics["wrong"], metrics["lost"]) == (3, 2, 3)
    assert (metrics["share.50"], metrics["share.100"]) == (0.6, 0.99)
    assert metrics["share_error_sd.50"] == metrics["share_error_sd.max"] == pytest.approx(2.0)
    assert metrics["p99_ratio.max"] == 1.5
