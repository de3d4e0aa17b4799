"""Contenders take turns, and neither always goes first."""

from benchmarks.measure import Sample, interleave, noise_note


def sample(foreign_share):
    return Sample(1.0, 0, 1.0, 1.0, 1.0, 1.0, foreign_share, "wrk")


def test_interleave_turns_the_order_and_drops_the_first_round():
    calls = []
    contenders = {name: lambda name=name: calls.append(name) or len(calls) for name in "AB"}

    taken = interleave(contenders, rounds=2)

    assert calls == ["B", "A", "A", "B", "B", "A"]
    assert taken == {"A": [3, 6], "B": [4, 5]}


def test_noise_note_is_silent_on_a_quiet_machine():
    assert noise_note([sample(0.0), sample(0.05), sample(0.5)]) == ()


def test_noise_note_says_how_much_others_used():
    (note,) = noise_note([sample(0.3), sample(0.4), sample(0.5)])

    assert "40%" in note
