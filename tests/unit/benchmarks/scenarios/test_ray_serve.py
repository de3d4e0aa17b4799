"""Beside plain Ray Serve: in which order, and what is made of it. The servers are toys here."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from benchmarks.peers.environment import SetupError
from benchmarks.scenarios import catalogue, ray_serve
from benchmarks.scenarios.ray_serve import CONTENDERS, DEFAULT, HAPROXY, OURS
from benchmarks.subject import serve

BRIEF = {"visits": 2, "connections": 2, "warmup_s": 0, "load_s": 0.2}
SPIN_US = {OURS: "0", DEFAULT: "10000", HAPROXY: "3000"}


@pytest.fixture
def visited(monkeypatch, toy):
    """The rows in the order in which they are started; a toy stands for each."""
    names = []

    @contextmanager
    def running(row, model, scratch):
        names.append(row.name)
        with serve(toy("--spin-us", SPIN_US[row.name]), scratch / "toy.log") as server:
            yield server.process

    def asking_the_toy(row):
        return replace(row, route=replace(row.route, path=lambda model: "/v2/models/toy/infer"))

    rows = [asking_the_toy(row) for row in ray_serve.ROWS if row.name in CONTENDERS]
    monkeypatch.setattr(ray_serve, "ROWS", rows)
    monkeypatch.setattr(ray_serve, "ensure", lambda peer: False)
    monkeypatch.setattr(ray_serve, "running", running)
    return names


def test_ray_serve_visits_every_row_in_turned_order(toy_context, visited):
    measured = catalogue.run("ray_serve", toy_context, BRIEF)

    assert visited == [*reversed(CONTENDERS), *CONTENDERS]
    assert measured.metrics.keys() == catalogue.SCENARIOS["ray_serve"].metrics.keys()
    assert measured.metrics["error_rate"] == 0
    # Two callers of a toy that spins for so long: 100 and 333 a second, on any machine at most.
    assert measured.metrics["default.rate_per_s.ok"] <= 110
    assert measured.metrics["haproxy.rate_per_s.ok"] <= 370


def test_ray_serve_without_its_environment_is_unsupported(toy_context, monkeypatch):
    def ensure(peer):
        raise SetupError("no such wheel")

    monkeypatch.setattr(ray_serve, "ensure", ensure)

    measured = catalogue.run("ray_serve", toy_context, BRIEF)

    assert "cannot be made: no such wheel" in measured.unsupported
