"""Cells in columns."""

from __future__ import annotations

from serve.commands.table import aligned


def test_numbers_are_on_the_right():
    assert aligned([("A", "N"), ("bb", "10"), ("c", "7")], {1}) == ["A    N", "bb  10", "c    7"]
