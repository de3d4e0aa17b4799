"""A visit to Penstock itself, and to a peer that does not start."""

import dataclasses

import msgspec
import pytest

from benchmarks.loadgen.launch import LoadError, run_load
from benchmarks.peers.catalogue import ROWS
from benchmarks.peers.visit import Plan, visit

PLAN = Plan(connections=(4,), closed_s=1, rates=(600,), open_s=1, warmup_s=1, seed=1)


def test_visit_measures_a_server_that_answers(mlp, tmp_path):
    told = []

    seen = visit(ROWS[0], mlp, 2, PLAN, tmp_path, told.append)

    closed, opened = seen.load("closed-4"), seen.load("open-600")
    assert seen.failure == ""
    assert (seen.round, seen.start_s > 0, seen.memory_mib > 1) == (2, True, True)
    assert closed.not_ok == opened.not_ok == 0
    assert min(closed.ok, closed.cpu_us, opened.p99_ms, opened.cpu_us) > 0
    assert told == ["starting", "warming up", "4 connections", "600 requests/s"]


def test_visit_turns_what_a_peer_does_wrong_into_a_failure(mlp, tmp_path):
    row = dataclasses.replace(ROWS[0], peer="nosuch")

    seen = visit(row, mlp, 1, PLAN, tmp_path, lambda what: None)

    assert "nosuch/run.sh" in seen.failure
    assert seen.loads == ()


def test_visit_keeps_the_loads_before_a_failure(mlp, tmp_path, monkeypatch):
    answers = iter((run_load, run_load))

    def breaking_down(spec):
        if (load := next(answers, None)) is None:
            raise LoadError("the connection was lost")
        return load(spec)

    monkeypatch.setattr("benchmarks.peers.visit.run_load", breaking_down)

    seen = visit(ROWS[0], mlp, 1, PLAN, tmp_path, lambda what: None)

    assert [loaded.load for loaded in seen.loads] == ["closed-4"]
    assert seen.failure == "LoadError: the connection was lost"


@pytest.mark.parametrize(("last_ms", "kept"), [(40.0, True), (60.0, False)])
def test_visit_keeps_a_rate_unless_a_backlog_is_left(mlp, tmp_path, monkeypatch, last_ms, kept):
    def driven(spec):
        report = run_load(spec)
        last = msgspec.structs.replace(report.timeline[-1], p50_ms=last_ms)
        return msgspec.structs.replace(report, timeline=(*report.timeline[:-1], last))

    monkeypatch.setattr("benchmarks.peers.visit.run_load", driven)
    plan = dataclasses.replace(PLAN, connections=())

    seen = visit(ROWS[0], mlp, 1, plan, tmp_path, lambda what: None)

    assert seen.load("open-600").kept is kept
