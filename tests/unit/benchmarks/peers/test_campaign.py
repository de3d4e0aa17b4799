"""The order of visits, and what becomes of rows that fail."""

import itertools
from collections import Counter

import pytest

from benchmarks.peers import campaign
from benchmarks.peers.campaign import order, run, set_up
from benchmarks.peers.catalogue import ROWS
from benchmarks.peers.environment import SetupError
from benchmarks.peers.results import read

LITSERVE = [row for row in ROWS if row.peer == "litserve"]


def test_order_visits_everybody_once_a_round():
    turns = list(order(ROWS, ("mlp", "fraud"), 2, seed=1))

    assert Counter(turns) == Counter(itertools.product((1, 2), ("mlp", "fraud"), ROWS))
    assert [turn[0] for turn in turns] == sorted(turn[0] for turn in turns)


def test_order_is_shuffled_anew_each_round_and_the_same_for_a_seed():
    turns = list(order(ROWS, ("mlp",), 2, seed=1))
    half = len(turns) // 2

    assert [turn[2] for turn in turns[:half]] != [turn[2] for turn in turns[half:]]
    assert turns == list(order(ROWS, ("mlp",), 2, seed=1))


def test_set_up_gives_the_reason_for_each_peer_that_failed(monkeypatch):
    def ensure(peer):
        if peer == "bentoml":
            raise SetupError("no such wheel")

    monkeypatch.setattr(campaign, "ensure", ensure)

    assert set_up(ROWS, lambda what: None) == {"bentoml": "set-up failed: no such wheel"}


def test_run_shows_what_could_not_be_set_up(results, tmp_path):
    file, seen = tmp_path / "out" / "peers.json", []
    turns = list(order(LITSERVE, ("mlp",), 3, seed=1))

    run(results(), turns, None, {"litserve": "no wheel"}, file, seen.append, seen.append)

    assert [(visit.row, visit.failure) for visit in read(file).visits] == [
        (visit.row, "no wheel") for visit in seen
    ]
    assert {visit.row for visit in seen} == {"default", "tuned"}
    assert len(seen) == 2


@pytest.fixture
def failing(monkeypatch, seen):
    """Every visit fails; tells how many there were."""
    visits = []

    def visit(row, model, number, *rest):
        visits.append(row.name)
        return seen(row.peer, row.row, failure="it does not start")

    monkeypatch.setattr(campaign, "visit", visit)
    return visits


def test_run_gives_a_row_a_second_chance_and_no_third(failing, results, tmp_path):
    turns = list(order(LITSERVE[:1], ("mlp",), 5, seed=1))

    run(results(), turns, None, {}, tmp_path / "peers.json", str, lambda visit: None)

    assert failing == ["litserve default"] * 2


def test_run_leaves_a_valid_part_when_it_is_interrupted(failing, results, tmp_path):
    def interrupt(visit):
        raise KeyboardInterrupt

    file, turns = tmp_path / "peers.json", list(order(LITSERVE, ("mlp",), 1, seed=1))

    with pytest.raises(KeyboardInterrupt):
        run(results(complete=False), turns, None, {}, file, str, interrupt)

    assert (len(read(file).visits), read(file).complete) == (1, False)
