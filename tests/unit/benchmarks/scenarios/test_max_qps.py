"""Whether a probe of max_qps was kept, and what is confirmed."""

import msgspec
import pytest

from benchmarks.attempt import Driven
from benchmarks.loadgen.spec import Health, Latency, LoadReport, PhaseReport
from benchmarks.scenarios import catalogue, max_qps
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


@pytest.mark.parametrize(
    ("sustained", "confirmed"), [(1000.0, 1000.0), (990.0, 950.0), (900.0, 855.0), (1.0, 0.0)]
)
def test_max_qps_confirms_a_lower_rate_where_a_long_load_is_missed(
    toy_context, monkeypatch, sustained, confirmed
):
    rates = []

    def probe(prober, rate, duration_s, doing):
        rates.append(rate)
        limit = 1000.0 if doing == "probing" else sustained
        return driven(), "kept" if rate <= limit else "missed"

    monkeypatch.setattr(max_qps.Prober, "probe", probe)
    params = {"start_rate": 500.0, "highest_rate": 1000.0, "confirm_tries": 3}

    measured = catalogue.run("max_qps", toy_context, params)

    assert measured.metrics["max_qps_per_s"] == pytest.approx(confirmed)
    assert rates[:3] == [500.0, 1000.0, 1000.0]
