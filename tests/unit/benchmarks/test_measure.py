"""Contenders take turns, and neither always goes first."""

from benchmarks.measure import interleave


def test_interleave_turns_the_order_and_drops_the_first_round():
    calls = []
    contenders = {name: lambda name=name: calls.append(name) or len(calls) for name in "AB"}

    taken = interleave(contenders, rounds=2)

    assert calls == ["B", "A", "A", "B", "B", "A"]
    assert taken == {"A": [3, 6], "B": [4, 5]}


def test_interleave_says_how_far_it_is():
    said = []

    interleave({"A": lambda: None}, rounds=1, say=lambda *what: said.append(what))

    assert said == [("A, round 0 of 1", 0.0), ("A, round 1 of 1", 0.5)]
