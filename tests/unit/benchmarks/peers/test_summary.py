"""Medians a row, and who is ahead."""

import math

import pytest

from benchmarks.peers.summary import ahead, lines


@pytest.fixture
def line(results, seen, loaded):
    """The line of a row whose visits had these figures."""

    def make(peer, *figures, row="default", load="closed-64"):
        visits = [seen(peer, row, loads=(loaded(load, **figure),)) for figure in figures]
        return lines(results(*visits), "mlp")[0]

    return make


def test_line_takes_the_median_of_its_visits(line):
    found = line("litserve", {"ok_per_s": 10.0}, {"ok_per_s": 90.0}, {"ok_per_s": 20.0})

    assert found.median("closed-64", lambda loaded: loaded.ok_per_s) == 20.0
    assert math.isnan(found.median("closed-8", lambda loaded: loaded.ok_per_s))


def test_line_failed_when_no_visit_was_without_a_failure(results, seen):
    broken = seen("litserve", failure="no port")

    assert lines(results(broken), "mlp")[0].failure == "no port"
    assert lines(results(broken, seen("litserve")), "mlp")[0].failure == ""


@pytest.mark.parametrize(("kept", "most"), [((True, True, False), True), ((True, False), False)])
def test_line_keeps_a_rate_when_most_visits_did(line, kept, most):
    found = line("litserve", *({"kept": one} for one in kept), load="open-100")

    assert found.kept("open-100") is most


def test_lines_come_in_the_catalogues_order_and_of_one_model_only(results, seen):
    found = lines(
        results(seen("rayserve"), seen("penstock"), seen("litserve", model="fraud")), "mlp"
    )

    assert [one.row.peer for one in found] == ["penstock", "rayserve"]


def test_ahead_names_every_figure_in_which_a_peer_is_better(line):
    own = line("penstock", {"ok_per_s": 100.0, "p99_ms": 5.0, "cpu_us": 50.0})
    fast = line("litserve", {"ok_per_s": 101.0, "p99_ms": 6.0, "cpu_us": 49.0})

    found = ahead([own, fast], ["closed-64"])

    assert [(one.row, one.what, one.theirs, one.ours) for one in found] == [
        ("litserve default", "requests/s at 64 connections", 101.0, 100.0),
        ("litserve default", "CPU at 64 connections (µs/request)", 49.0, 50.0),
    ]


def test_ahead_counts_no_p99_of_a_rate_that_was_not_kept(line):
    own = line("penstock", {"p99_ms": 5.0}, load="open-100")
    late = line("litserve", {"p99_ms": 1.0, "kept": False}, load="open-100")

    assert ahead([own, late], ["open-100"]) == []


def test_ahead_says_nothing_without_penstock(line):
    assert ahead([line("litserve", {})], ["closed-64"]) == []
