"""Whether a probe of max_qps was kept."""

import msgspec
import pytest

from benchmarks.attempt import Driven
from benchmarks.loadgen.spec import Health, Latency, LoadReport, PhaseReport
from benchmarks.scenarios.max_qps import Params, judge


def driven(p99_ms=50.0, ok=1000, reasons=(), quiet=True):
    phase = PhaseReport(
        name="steady",
        duration_s=1.0,
        offered=1000,
        ok=ok,
        good=ok,
        refused=1000 - ok,
        failed=0,
        statuses={},
        latency_ms=Latency(p99=p99_ms),
        histogram="",
    )
    report = LoadReport(tool="t", phases=(phase,), total=phase, health=Health(reasons=reasons))
    return Driven(report, {}, {}, quiet)


@pytest.mark.parametrize(
    ("seen", "fields"),
    [
        ("kept", {}),
        ("kept", {"quiet": False}),
        ("kept", {"ok": 999}),
        ("missed", {"ok": 998}),
        ("missed", {"p99_ms": 101.0}),
        ("noisy", {"p99_ms": 101.0, "quiet": False}),
        ("undrivable", {"reasons": ("late",)}),
        ("noisy", {"reasons": ("late",), "quiet": False}),
    ],
)
def test_judge_asks_for_the_slo_and_next_to_no_refusals(seen, fields):
    assert judge(Params(), driven(**fields)) == seen


def test_judge_follows_the_parameters():
    lenient = msgspec.structs.replace(Params(), slo_ms=200.0, max_bad_share=0.01)

    assert judge(lenient, driven(p99_ms=150.0, ok=991)) == "kept"
