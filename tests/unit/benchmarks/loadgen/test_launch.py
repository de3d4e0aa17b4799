"""Generators as processes of their own, against a server in a thread of this one."""

import os
import signal
import threading

import psutil
import pytest

from benchmarks.loadgen import wrk
from benchmarks.loadgen.arrivals import schedule
from benchmarks.loadgen.launch import LoadError, LoadInterrupted, planned_s, run_load
from benchmarks.loadgen.profiles import steady
from benchmarks.loadgen.spec import ClosedLoop, LoadSpec, OpenLoop, Target
from benchmarks.process import free_port


def spec(port, payload, load, **fields):
    return LoadSpec(target=Target(port=port), payloads=(payload,), load=load, **fields)


def generators():
    """The generator processes of this one."""
    return psutil.Process().children()


def test_run_load_shares_one_schedule_among_processes(http_server, payload):
    load = OpenLoop(phases=steady(400.0, 0.5, warmup_s=0.1))
    due_s, _ = schedule(load.phases, load.arrivals, load.seed)
    parts = []

    report = run_load(spec(http_server.port, payload, load, processes=2), parts.append)

    assert http_server.arrivals == len(due_s)
    assert report.total.ok + report.phase("warmup").ok == len(due_s)
    assert (parts[0] >= 0.0, parts[-1] <= 1.0, parts) == (True, True, sorted(parts))
    assert not generators()


def test_run_load_closed_loop_goes_on_for_the_time_asked(http_server, payload):
    load = ClosedLoop(duration_s=0.3, warmup_s=0.1)

    report = run_load(spec(http_server.port, payload, load, connections=3, processes=2))

    assert (report.total.duration_s, planned_s(spec(1, payload, load))) == (
        pytest.approx(0.3),
        pytest.approx(0.4),
    )
    assert report.answered == http_server.arrivals > 100


def test_run_load_says_what_a_generator_said_when_it_failed(payload):
    load = OpenLoop(phases=steady(10.0, 1.0))

    with pytest.raises(LoadError, match="ConnectionRefused"):
        run_load(spec(free_port(), payload, load))
    assert not generators()


def test_run_load_needs_a_payload(http_server, payload):
    with pytest.raises(ValueError, match="payload"):
        run_load(LoadSpec(target=Target(port=1), payloads=(), load=ClosedLoop(duration_s=1.0)))


def test_run_load_that_is_interrupted_reports_what_it_saw(http_server, payload):
    def interrupt(part):
        if part > 0.0:
            signal.raise_signal(signal.SIGINT)

    load = OpenLoop(phases=steady(500.0, 60.0))
    with pytest.raises(LoadInterrupted) as stopped:
        run_load(spec(http_server.port, payload, load), interrupt)

    assert stopped.value.report.interrupted
    assert 0 < stopped.value.report.total.ok == http_server.arrivals
    assert not generators()


def test_run_load_is_not_honest_when_its_generator_gets_no_cpu(http_server, payload):
    """It is stopped from one call of ``starve`` to the next, 0.2 s later."""
    stopped = threading.Event()

    def starve(part):
        if part > 0.2 and not stopped.is_set():
            stopped.set()
            os.kill(generators()[0].pid, signal.SIGSTOP)
        elif stopped.is_set():
            for generator in generators():
                os.kill(generator.pid, signal.SIGCONT)

    load = OpenLoop(phases=steady(500.0, 1.5))
    report = run_load(spec(http_server.port, payload, load), starve)

    assert stopped.is_set()
    assert report.health.send_lag_ms.max > 50
    assert [why for why in report.health.reasons if "late" in why]


def test_run_load_finds_the_true_p99_of_a_server_that_stalls(http_server, payload):
    """The truth follows from when the server stood still, which it wrote down itself."""
    rate, duration_s = 500.0, 6.0
    http_server.stall_every(2.0, 0.2)
    load = OpenLoop(phases=steady(rate, duration_s), arrivals="constant")

    report = run_load(spec(http_server.port, payload, load, connections=256))

    if report.health.reasons:
        pytest.skip(f"the machine is too busy to know: {report.health.reasons[0]}")
    truth_ms = true_percentile_s(http_server.stall_lengths_s(duration_s), duration_s, 0.99) * 1e3
    assert truth_ms > 150
    assert report.total.latency_ms.p99 == pytest.approx(truth_ms, rel=0.1)


def true_percentile_s(stalls_s, duration_s, percentile):
    """The wait that only 1 − ``percentile`` of evenly spaced arrivals exceed.

    Who arrives in a stall waits for what is left of it, so that so many seconds' arrivals wait for
    more than x: what the stalls are longer than x, together.
    """
    low_s, high_s = 0.0, max(stalls_s)
    while high_s - low_s > 1e-6:
        middle_s = (low_s + high_s) / 2
        waiting_s = sum(max(0.0, one - middle_s) for one in stalls_s)
        if waiting_s > (1 - percentile) * duration_s:
            low_s = middle_s
        else:
            high_s = middle_s
    return low_s


@pytest.mark.skipif(not wrk.available(), reason="wrk is not installed: apt install wrk")
def test_run_load_agrees_with_wrk(http_server, payload):
    """On what does not depend on who else uses the machine.

    What a request costs the server while it is kept busy, and Little's law: callers are as many as
    requests a second times the seconds that each takes.
    """
    cpu_us = {}
    for tool in ("own", "wrk"):
        load = ClosedLoop(duration_s=1.0, tool=tool)
        before_s, before = http_server.cpu_s(), http_server.arrivals
        report = run_load(spec(http_server.port, payload, load, connections=16))
        arrivals = http_server.arrivals - before
        cpu_us[tool] = (http_server.cpu_s() - before_s) / arrivals * 1e6

        assert report.answered == pytest.approx(arrivals, abs=16)
        assert report.total.failed == 0
        assert report.total.ok_per_s * report.total.latency_ms.p50 / 1e3 < 20
    assert cpu_us["own"] == pytest.approx(cpu_us["wrk"], rel=0.5)
