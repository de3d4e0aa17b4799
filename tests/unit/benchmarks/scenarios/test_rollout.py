"""What is made of a rollout under load, and versions that are good or bad as they should."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.loadgen.spec import Health, Latency, LoadReport, PhaseReport
from benchmarks.models import FEATURES
from benchmarks.payloads import sample
from benchmarks.scenarios.rollout import Params, Release, _metrics, _write
from benchmarks.traffic_admin import Rollout

PARAMS = Params(before_s=2.0, during_s=7.0, after_s=1.0)


class Admin:
    """Says one thing after the other of a rollout."""

    def __init__(self, *said):
        self.begun = []
        self._said = list(said)

    def begin(self, version, **how):
        self.begun.append((version, how))

    def rollout(self):
        return self._said.pop(0)


def rollout(version, status, step, step_began_s, ended_s=0.0, reason=""):
    return Rollout(version, status, step, 100.0, step_began_s, ended_s, reason)


def phase(name, answers, **statuses):
    counts = {f"answer {number}": count for number, count in answers.items()} | statuses
    failed = sum(statuses.values())
    return PhaseReport(
        name=name,
        duration_s=1.0,
        offered=sum(answers.values()) + failed,
        ok=sum(answers.values()),
        good=sum(answers.values()),
        refused=0,
        failed=failed,
        statuses=counts,
        latency_ms=Latency(),
        histogram="",
    )


def rolled_out(kind, *said):
    release = Release(Admin(*said), kind, PARAMS)
    for part in (0.1, 0.2, *(0.3 for _ in said)):
        release.at(part)
    return release


def test_rollout_is_followed_to_its_end():
    release = rolled_out(
        "slow",
        rollout(3, "loading", -1, 0.0),
        rollout(3, "holding", 0, 101.0),
        rollout(3, "holding", 1, 104.0),
        rollout(3, "rolled_back", 1, 104.0, 105.5, "p99"),
    )
    release.at(0.9)  # nothing is asked any more

    assert [version for version, _ in release._admin.begun] == [3]
    assert (release.ended_well, release.took_s, release.why) == (True, 4.5, "p99")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("good", rollout(2, "rolled_back", 0, 101.0, 102.0)),
        ("slow", rollout(3, "completed", 3, 101.0, 102.0)),
        ("slow", rollout(2, "rolled_back", 3, 101.0, 102.0)),
        ("slow", rollout(3, "holding", 1, 101.0)),
        ("slow", None),
    ],
)
def test_rollout_that_ends_otherwise_is_told(kind, said):
    assert not rolled_out(kind, said).ended_well


def test_answers_are_counted_by_what_was_permitted():
    phases = (
        phase("before", {0: 100, 3: 1}),
        phase("during", {0: 50, 3: 9, 2: 1}, **{"500": 4, "lost": 1, "wrong": 2}),
        phase("after", {0: 100, 3: 2}),
    )
    total = phase("total", {0: 250, 3: 12, 2: 1}, **{"500": 4, "lost": 1, "wrong": 2})
    report = LoadReport(tool="own", phases=phases, total=total, health=Health())
    release = rolled_out("erroring", rollout(4, "rolled_back", 0, 101.0, 102.0))

    metrics = _metrics(report, release, stable=0)

    assert (metrics["wrong"], metrics["lost"]) == (2, 1)
    assert metrics["excluded"] == 1 + 1 + 2  # before its time, a third version's, afterwards
    assert metrics["erroring.met"] == 12 + 4
    assert metrics["erroring.refused"] == 0


def loaded(folder, kind):
    """The ``Model`` of a version in Python."""
    file = _write(folder, kind).with_name("model.py")
    spec = importlib.util.spec_from_file_location("version", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Model()
    model.load(SimpleNamespace(folder=file.parent))
    return model


def test_slow_version_answers(tmp_path):
    scores = loaded(tmp_path, "slow").predict({"x": sample(3, FEATURES)})["probability"]

    assert scores.shape == (3, 1)


def test_erroring_version_raises_for_some_rows_and_no_warmup(tmp_path):
    model = loaded(tmp_path, "erroring")
    for value in (0.0, 1.0):
        model.predict({"x": np.full((4, FEATURES), value, np.float32)})
    raised = 0
    for seed in range(100):
        try:
            model.predict({"x": sample(1, FEATURES, seed)})
        except ZeroDivisionError:
            raised += 1

    assert 5 < raised < 60
