"""A visit to Penstock itself, and to a peer that does not start."""

import dataclasses

import pytest

from benchmarks.loadgen import wrk
from benchmarks.peers.catalogue import ROWS
from benchmarks.peers.visit import Plan, visit

PLAN = Plan(connections=(4,), closed_s=1, rates=(200,), open_s=1, warmup_s=1, seed=1)


def test_visit_measures_a_server_that_answers(mlp, tmp_path):
    told = []

    seen = visit(ROWS[0], mlp, 2, PLAN, tmp_path, told.append)

    closed, opened = seen.load("closed-4"), seen.load("open-200")
    assert seen.failure == ""
    assert (seen.round, seen.start_s > 0, seen.memory_mib > 1) == (2, True, True)
    assert closed.not_ok == opened.not_ok == 0
    assert min(closed.ok, closed.cpu_us, opened.p99_ms, opened.cpu_us) > 0
    assert told == ["starting", "warming up", "4 connections", "200 requests/s"]


def test_visit_turns_what_a_peer_does_wrong_into_a_failure(mlp, tmp_path):
    row = dataclasses.replace(ROWS[0], peer="nosuch")

    seen = visit(row, mlp, 1, PLAN, tmp_path, lambda what: None)

    assert "nosuch/run.sh" in seen.failure
    assert seen.loads == ()


@pytest.mark.skipif(not wrk.available(), reason="wrk is not installed")
def test_visit_keeps_the_loads_before_a_failure(mlp, tmp_path, monkeypatch):
    plan = dataclasses.replace(PLAN, connections=(4, -1), rates=())

    seen = visit(ROWS[0], mlp, 1, plan, tmp_path, lambda what: None)

    assert [loaded.load for loaded in seen.loads] == ["closed-4"]
    assert seen.failure
