"""Rounds of several contenders turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["interleave"]

T = TypeVar("T")


def interleave(
    contenders: Mapping[str, Callable[[], T]],
    rounds: int,
    say: Callable[[str, float], None] = lambda what, part: None,
) -> dict[str, list[T]]:
    """Run every contender once a round, in turned order each other round (A B, B A, …).

    The first round only warms up and is thrown away. ``say`` is told who is next, and the part that
    is over.
    """
    names = list(contenders)
    taken: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names if number % 2 else reversed(names):
            say(f"{name}, round {number} of {rounds}", number / (rounds + 1))
            seen = contenders[name]()
            if number:
                taken[name].append(seen)
    return taken
