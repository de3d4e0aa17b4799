"""LoadGen and our own generator against a real server; a second each."""

import importlib.util
from types import SimpleNamespace

import pytest

from benchmarks.mlperf.compare import LoadGenError, Plan, compare, render
from benchmarks.mlperf.job import SCENARIOS

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlperf_loadgen") is None,
    reason="mlcommons-loadgen is not installed (it is in the bench extra)",
)


@pytest.fixture
def plan(spec, tmp_path):
    """A second at 700 requests a second, enough for a p99; a bound that a busy machine keeps."""

    def make(model="small"):
        made = spec(model)
        return Plan(
            made.target, made.payloads, connections=8, rate_per_s=700.0, duration_s=1.0,
            slo_ms=5000.0, seed=1, folder=tmp_path,
        )  # fmt: skip

    return make


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_compare_has_figures_of_both(plan, scenario, tmp_path):
    seen = compare(scenario, plan())

    for outcome in (seen.loadgen, seen.ours):
        assert outcome.failed == 0
        assert 0 < outcome.p50_ms <= outcome.p90_ms <= outcome.p99_ms
        assert outcome.per_s > 0
    assert (tmp_path / scenario / "mlperf_log_detail.txt").exists()


def test_compare_server_is_valid_on_a_healthy_server(plan):
    assert compare("Server", plan()).loadgen.valid


def test_compare_calls_refused_requests_invalid_on_both_sides(plan):
    seen = compare("Server", plan("nosuch"))

    assert (seen.loadgen.valid, seen.ours.valid) == (False, False)
    assert seen.loadgen.failed > 0


def test_compare_says_what_loadgen_said_when_it_failed(plan, monkeypatch):
    monkeypatch.setattr("benchmarks.mlperf.compare.sys", SimpleNamespace(executable="false"))

    with pytest.raises(LoadGenError, match="SingleStream"):
        compare("SingleStream", plan())


def test_render_shows_both_views_and_the_reasons(plan):
    text = render([compare("Server", plan("nosuch"))])

    assert "| Server | MLPerf LoadGen | INVALID: " in text
    assert "| Server | ours | INVALID: " in text
