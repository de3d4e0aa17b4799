"""Whether a probe of max_qps was kept, and what is confirmed."""

from dataclasses import replace
from types import SimpleNamespace

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


def test_judge_believes_no_load_that_was_given_up():
    stopped = driven()
    report = msgspec.structs.replace(stopped.report, given_up=True)

    assert judge(Params(), replace(stopped, report=report)) == "missed"


@pytest.fixture
def measure(toy_context, monkeypatch):
    """Run it with made-up loads: ``kept(stage, rate)`` and whether the machine is quiet."""

    def run(kept, quiet=True, **params):
        now_s = 0.0

        def load(prober, step):
            nonlocal now_s
            now_s += step.lasts_s
            is_kept = kept(step.stage, step.rate)
            prober.shown = driven(p99_ms=50.0 if is_kept else 500.0, quiet=quiet)
            prober.was_quiet = quiet
            return judge(prober._params, prober.shown)

        monkeypatch.setattr(max_qps.Prober, "load", load)
        monkeypatch.setattr(max_qps.Prober, "estimate", lambda prober: 1000.0)
        monkeypatch.setattr(max_qps, "time", SimpleNamespace(perf_counter=lambda: now_s))
        return catalogue.run("max_qps", toy_context, {"highest_rate": 1000.0, **params})

    return run


def test_max_qps_is_the_confirmed_rate(measure):
    measured = measure(lambda stage, rate: rate <= (960 if stage == "confirm" else 1000))

    assert measured.metrics["max_qps_per_s"] == pytest.approx(950.0)
    assert (measured.invalid, measured.inconclusive) == ((), ())


def test_max_qps_that_is_not_confirmed_is_inconclusive(measure):
    measured = measure(lambda stage, rate: stage == "search")

    assert measured.metrics["max_qps_per_s"] == 0.0
    assert "neither they nor 90% of them for 30 s" in measured.inconclusive[0]


def test_max_qps_out_of_time_is_inconclusive_and_says_between_what(measure):
    measured = measure(lambda stage, rate: rate <= 800, budget_s=60.0)

    assert measured.metrics["max_qps_per_s"] == 0.0
    assert measured.inconclusive == ("no answer within 60 s: between 700 and 828 requests/s",)


def test_max_qps_without_time_for_a_probe_is_inconclusive(measure):
    assert "too short" in measure(lambda stage, rate: True, budget_s=30.0).inconclusive[0]


def test_max_qps_of_a_server_that_keeps_nothing_is_zero(measure):
    measured = measure(lambda stage, rate: False, budget_s=1e4)

    assert measured.metrics["max_qps_per_s"] == 0.0
    assert (measured.invalid, measured.inconclusive) == ((), ())


@pytest.mark.parametrize("keeps", ["search", "nothing"])
def test_max_qps_without_an_answer_is_invalid_on_a_noisy_machine(measure, keeps):
    measured = measure(lambda stage, rate: stage == keeps, quiet=False)

    assert "and the machine was not quiet" in measured.invalid[0]
