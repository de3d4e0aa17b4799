from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimize.gates import Gate
from optimize.judge import Trial, best, speed_gates
from optimize.plan import Candidate
from optimize.settings import Gates
from optimize.steps import Clean, QuantizeDynamic


def trial(
    speedup: float,
    *,
    lossy: bool = False,
    stable: bool = True,
    size: int = 100,
    windows: Sequence[float] = (),
) -> Trial:
    row: dict[str, Any] = {
        "batch": 1,
        "length": None,
        "speedup": speedup,
        "stable": stable,
        "windows": windows or [speedup],
        "p95_ns": 1e6,
        "baseline_p50_ns": 1e6,
    }
    step = QuantizeDynamic() if lossy else Clean()
    profile: dict[str, Any] = {"rows": [row], "size_bytes": size, "memory_bytes": 0}
    profile["typical_length"] = None
    return Trial(Candidate((step,), 1), [Gate("parity", "pass")], profile=profile)


def verdicts(one: Trial, **limits: float) -> list[str]:
    return [gate.verdict for gate in speed_gates(one, 100, Gates.model_validate(limits))]


def test_a_lossy_candidate_must_be_faster_or_smaller() -> None:
    assert verdicts(trial(1.05, lossy=True)) == ["fail"]
    assert verdicts(trial(1.2, lossy=True)) == ["pass"]
    assert verdicts(trial(0.9, lossy=True, size=60)) == ["pass"]
    assert verdicts(trial(0.9)) == []


def test_a_limit_on_what_did_not_settle_is_inconclusive() -> None:
    assert verdicts(trial(9, stable=False), max_latency_ms=5) == ["inconclusive"]
    assert verdicts(trial(9, stable=False), min_speedup=2) == ["inconclusive"]
    assert verdicts(trial(9, stable=False), max_size_mb=1) == ["pass"]


def test_windows_that_are_all_on_one_side_of_a_limit_decide_though_they_did_not_settle() -> None:
    spread = [3.0, 9.0, 5.0, 7.0, 4.0]
    assert verdicts(trial(5, stable=False, windows=spread), min_speedup=2) == ["pass"]
    assert verdicts(trial(5, stable=False, windows=spread), min_speedup=10) == ["fail"]
    assert verdicts(trial(5, stable=False, windows=spread), min_speedup=4) == ["inconclusive"]
    assert verdicts(trial(5, stable=False, windows=spread[:4]), min_speedup=2) == ["inconclusive"]
    assert verdicts(trial(5, lossy=True, stable=False, windows=spread)) == ["pass"]


def test_rows_of_the_typical_length_are_judged() -> None:
    one = trial(2.0)
    short, long = {**one.profile["rows"][0], "length": 16}, {**one.profile["rows"][0], "length": 64}
    one.profile |= {"rows": [{**long, "speedup": 9.0}, short], "typical_length": 16}
    assert one.row(1) is short
    assert one.typical_rows() == [short]


def test_best_takes_the_simpler_of_two_that_are_alike() -> None:
    first, second = trial(2.0), trial(2.02)
    assert best([first, second], "latency", 1) is first
    third = trial(2.5)
    assert best([first, second, third], "latency", 1) is third


def test_best_is_nobody_when_none_passes() -> None:
    failed = trial(9)
    failed.gates.append(Gate("parity", "fail"))
    assert best([failed], "latency", 1) is None
