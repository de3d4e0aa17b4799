"""Parts of several generators become one report."""

import msgspec
import numpy as np
import pytest

from benchmarks.loadgen import histogram
from benchmarks.loadgen.health import enough_requests
from benchmarks.loadgen.merge import report
from benchmarks.loadgen.outcomes import Part, phase_report, slices
from benchmarks.loadgen.spec import LoadSpec, OpenLoop, Phase, Target

WARMUP, STEADY = Phase("warmup", 1.0, 1.0, measured=False), Phase("steady", 1.0, 2.0)


def part(latency_ms, **fields):
    """A generator that sent 600 requests a phase, all answered after the same time."""
    latency_s, status = np.full(600, latency_ms / 1e3), np.full(600, 200)
    due_s = np.linspace(0.0, 2.99, 600)
    return Part(
        tool="open loop",
        phases=tuple(
            phase_report(one, one.duration_s, latency_s, status, 0, 0.1) for one in (WARMUP, STEADY)
        ),
        slices=slices(due_s, latency_s, status, 1.0),
        lag_histogram=histogram.encode(np.full(600, 0.001)),
        scheduled=600,
        dealt_with=600,
        **{"cpu_share": 0.1, **fields},
    )


@pytest.fixture
def spec(payload):
    load = OpenLoop(phases=(WARMUP, STEADY))
    return LoadSpec(target=Target(port=1), payloads=(payload,), load=load, processes=2)


def test_report_adds_counts_and_merges_percentiles(spec):
    found = report(spec, [part(10.0), part(20.0)])

    assert (found.total.offered, found.phase("warmup").offered) == (1200, 1200)
    assert (found.total.latency_ms.p50, found.total.latency_ms.p99) == pytest.approx(
        (10.0, 20.0), rel=1e-3
    )
    assert (found.total.duration_s, found.total.ok_per_s) == (2.0, 600.0)
    assert found.answered == 2400


def test_report_merges_the_timeline(spec):
    found = report(spec, [part(10.0), part(20.0)])

    assert [one.start_s for one in found.timeline] == [0.0, 1.0, 2.0]
    assert sum(one.offered for one in found.timeline) == 1200
    assert found.timeline[0].max_ms == pytest.approx(20.0, rel=1e-3)


def test_report_is_interrupted_if_any_part_is(spec):
    assert report(spec, [part(1.0), part(1.0, interrupted=True)]).interrupted
    assert not report(spec, [part(1.0), part(1.0)]).interrupted


def test_report_is_healthy_when_the_generators_were(spec):
    health = report(spec, [part(1.0), part(1.0, cpu_share=0.2)]).health

    assert (health.reasons, health.cpu_share, health.scheduled_per_s) == ((), 0.2, 600.0)
    assert health.send_lag_ms.p99 == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"late": 30}, "2.5% of the requests more than 5 ms late"),
        ({"dealt_with": 500}, "came to 1,100 of 1,200 requests in time"),
        ({"cpu_share": 0.9}, "used 90% of a core"),
    ],
)
def test_report_says_why_a_generator_was_not_honest(spec, fields, reason):
    parts = [msgspec.structs.replace(part(1.0), **fields), part(1.0)]

    assert [why for why in report(spec, parts).health.reasons if reason in why]


def test_report_says_when_there_were_too_few_requests(spec):
    few = msgspec.structs.replace(STEADY, duration_s=1.0)
    phase = phase_report(few, 1.0, np.full(458, 0.001), np.full(458, 200), 0, 0.1)

    health = report(spec, [msgspec.structs.replace(part(1.0), phases=(phase,))]).health

    assert (health.enough_requests, enough_requests()) == (False, 459)
    assert "at least 459 are needed" in health.reasons[-1]
