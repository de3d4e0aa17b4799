from __future__ import annotations

from serve.backends.arena import ArenaTrim


def sizes(trim: ArenaTrim, *values: int) -> list[bool]:
    return [trim.due(value) for value in values]


def test_trim_is_due_once_after_a_burst_has_passed() -> None:
    trim = ArenaTrim(window=2)
    assert sizes(trim, 100, 1) == [False, False]
    assert sizes(trim, 1, 1) == [False, True]
    assert sizes(trim, 1, 1, 1, 1) == [False] * 4


def test_trim_is_not_due_while_large_batches_keep_coming() -> None:
    trim = ArenaTrim(window=2)
    assert not any(sizes(trim, 100, 1, 90, 1, 60, 1, 100, 1))


def test_trim_is_not_due_when_batches_only_grow() -> None:
    assert not any(sizes(ArenaTrim(window=1), 1, 2, 4, 8, 16))


def test_trim_is_due_again_after_a_second_burst() -> None:
    trim = ArenaTrim(window=1)
    assert sizes(trim, 100, 1, 100, 1) == [False, True, False, True]
