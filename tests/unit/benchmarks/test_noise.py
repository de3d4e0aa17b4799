"""Disturbance is what others did, not what we did ourselves."""

import math
import subprocess

import pytest

from benchmarks import noise
from benchmarks.measurement import NoiseSample
from benchmarks.noise import Limits, NoiseMonitor, Reading, is_quiet
from benchmarks.proctree import ProcessTree

LIMITS = Limits(foreign_share=0.1, psi_some=0.1)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(noise.os, "cpu_count", lambda: 2)


def between(busy_s=0.0, own_s=0.0, pressure_s=0.0, waited_s=0.0):
    """A sample of one second in which so much was used."""
    return Reading(5.0, 0.0, 0.0, 0.0, 0.0).until(
        Reading(6.0, busy_s, own_s, pressure_s, waited_s), start_s=4.0
    )


def test_sample_takes_our_own_share_off():
    assert between(busy_s=1.5, own_s=1.1).foreign_share == pytest.approx(0.2)
    assert between(busy_s=1.0, own_s=1.1).foreign_share == 0.0
    assert between().at_s == 2.0


def test_sample_takes_our_own_waiting_off_the_pressure():
    assert between(pressure_s=0.5, waited_s=0.3).psi_some == pytest.approx(0.2)
    assert between(pressure_s=0.5, waited_s=0.9).psi_some == 0.0
    assert math.isnan(between(pressure_s=math.nan).psi_some)


@pytest.mark.parametrize(
    ("foreign", "psi", "quiet"),
    [(0.05, 0.05, True), (0.2, 0.0, False), (0.0, 0.2, False), (0.0, math.nan, True)],
)
def test_is_quiet_needs_both_within_their_limits(foreign, psi, quiet):
    assert is_quiet([NoiseSample(1.0, foreign, psi)], LIMITS) is quiet


def test_is_quiet_needs_a_sample():
    assert not is_quiet([], LIMITS)


def test_monitor_samples_until_it_is_left():
    with NoiseMonitor(interval_s=0.001) as monitor:
        while len(monitor.samples) < 3:
            pass
    taken = monitor.samples

    assert all(0 <= one.foreign_share <= 1 for one in taken)
    assert [one.at_s for one in taken] == sorted(one.at_s for one in taken)
    assert monitor.samples == taken


def test_monitor_counts_a_server_that_was_started_here_once(monkeypatch):
    monkeypatch.setattr(noise, "process_cpu_s", lambda pid: 7.0 if pid == server.pid else 0.0)
    with subprocess.Popen(["sleep", "60"]) as server:
        try:
            monitor = NoiseMonitor()
            monitor.watch(ProcessTree(server.pid))
            monitor.watch(ProcessTree(server.pid))
            waited_for_s = noise.own_s() - noise.time.process_time()
            used_s = monitor.read().own_s - waited_for_s
        finally:
            server.kill()

    assert used_s == pytest.approx(7.0, abs=0.5)
