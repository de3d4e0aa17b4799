"""Verdicts on single gates."""

import math

import msgspec
import numpy as np
import pytest

from benchmarks.gates.judge import Judge
from benchmarks.gates.spec import Gate, Noise
from benchmarks.gates.verdict import Verdict
from tests.support.measurements import histogram, measurement, noise, rounds

CPU = "server_cpu_us_per_req"
P99 = {"metric": "latency_ms.p99", "op": "<", "value": 100}


def judged(gate, measured=None, **judge):
    judge.setdefault("noise", Noise())
    return Judge(**judge).finding(Gate(**gate), measured or measurement())


@pytest.mark.parametrize(
    ("op", "value", "verdict"),
    [("<", 12.1, "pass"), ("<", 12.0, "fail"), ("<=", 12.0, "pass"), (">=", 12.1, "fail")],
)
def test_plain_gate_compares(op, value, verdict):
    assert judged({"metric": "latency_ms.p99", "op": op, "value": value}).verdict == verdict


def test_missed_gate_says_by_how_much():
    found = judged({"metric": "latency_ms.p99", "op": "<", "value": 10})
    assert found.reason == "missed by 20.0%"


def test_metric_that_was_not_measured_is_an_error_that_names_those_that_were():
    found = judged({"metric": "latency_ms.p95", "op": "<", "value": 1})
    assert found.verdict is Verdict.ERROR
    assert "latency_ms.p99" in found.reason


def test_metric_without_a_value_passes_nothing():
    found = judged(P99, measurement({"latency_ms.p99": math.nan}))
    assert found.verdict is Verdict.INVALID


def test_invalid_attempt_is_judged_by_no_gate():
    found = judged(P99, measurement(invalid=("late for 3 % of the arrivals",)))
    assert (found.verdict, found.reason) == (Verdict.INVALID, "late for 3 % of the arrivals")


@pytest.mark.parametrize(
    ("policy", "p99", "verdict"),
    [
        ("invalid", 12.0, "invalid"),
        ("keep_passes", 12.0, "pass"),
        ("keep_passes", 120.0, "invalid"),
        ("skip", 12.0, "skipped"),
    ],
)
def test_noise_is_handled_as_the_file_says(policy, p99, verdict):
    noisy = measurement({"latency_ms.p99": p99}, noise=noise(0.4))
    assert judged(P99, noisy, noise=Noise(on_noisy=policy)).verdict == verdict


def test_gate_has_the_last_word_on_noise():
    noisy = measurement(noise=noise(0.4))
    assert judged({**P99, "on_noisy": "skip"}, noisy).verdict is Verdict.SKIPPED
    assert judged({**P99, "requires": "any"}, noisy).verdict is Verdict.PASS


def test_errors_are_judged_however_noisy_the_machine():
    found = judged({"metric": "error_rate", "op": "<=", "value": 0}, measurement(noise=noise(0.9)))
    assert found.verdict is Verdict.PASS


def test_pressure_counts_where_the_file_limits_it():
    limits = Noise(psi_some_max=0.1)
    assert "pressure" in judged(P99, measurement(noise=noise(0.0, 0.5)), noise=limits).reason


def test_absolute_speed_is_not_judged_on_other_hardware():
    found = judged(P99, other_hardware="2 cores, not 8")
    assert (found.verdict, found.reason) == (Verdict.INVALID, "2 cores, not 8")


def early_stopping(over, queries, lost=0):
    latencies = np.full(queries - lost, 5.0)
    latencies[: over - lost] = 150.0
    metrics = {"latency_ms.p99": 5.0, "requests": float(queries)}
    return judged(
        {**P99, "method": "early_stopping"}, measurement(metrics, histogram=histogram(latencies))
    )


@pytest.mark.parametrize(
    ("over", "queries", "verdict"),
    [(0, 459, "pass"), (0, 458, "inconclusive"), (300, 30_000, "inconclusive"), (9, 300, "fail")],
)
def test_early_stopping_proves_either_side_or_neither(over, queries, verdict):
    assert early_stopping(over, queries).verdict == verdict


def test_early_stopping_says_how_many_requests_would_do():
    assert "55,427 requests" in early_stopping(500, 50_000).reason


def test_early_stopping_counts_lost_requests_as_over_the_bound():
    assert early_stopping(9, 300, lost=9).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(1.0, "pass"), (1.12, "fail"), (1.05, "inconclusive")]
)
def test_ratio_is_decided_by_its_interval(ratio, verdict):
    measured = measurement({CPU: 30.0}, rounds=rounds(CPU, ratio, spread=0.02))
    found = judged({"metric": CPU, "max_ratio": 1.05}, measured)
    assert found.verdict == verdict
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("ratio", "verdict"), [(1.0, "pass"), (0.85, "fail")])
def test_least_ratio_is_decided_the_other_way_round(ratio, verdict):
    name = "rate_per_s.ok"
    measured = measurement({name: 30.0}, rounds=rounds(name, ratio, spread=0.02))
    assert judged({"metric": name, "min_ratio": 0.95}, measured).verdict == verdict


def test_ratio_that_requires_quiet_uses_quiet_rounds_alone():
    name = "latency_ms.p99"
    noisy = rounds(name, 3.0, count=12, quiet=False)
    quiet = tuple(
        msgspec.structs.replace(one, number=one.number + 12, start=one.start + 4)
        for one in rounds(name, 1.0, count=12, spread=0.01)
    )
    gate = {"metric": name, "max_ratio": 1.2}
    assert judged(gate, measurement({name: 1.0}, rounds=noisy + quiet)).verdict is Verdict.PASS
    assert judged(gate, measurement({name: 1.0}, rounds=noisy)).verdict is Verdict.INVALID


def test_ratios_of_one_file_share_their_confidence():
    measured = measurement({CPU: 30.0}, rounds=rounds(CPU, 1.0))
    alone = judged({"metric": CPU, "max_ratio": 1.05}, measured)
    among = judged({"metric": CPU, "max_ratio": 1.05}, measured, ratios=5)
    assert among.high - among.low > alone.high - alone.low
    assert "each of 5 ratios at 99.0%" in among.reason
