"""Whatever a model's code raises can be shown."""

from __future__ import annotations

import threading

import pytest

from serve.backends.model_errors import is_interrupt, shown_error


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("a\n  b"), "ValueError: a b"),
        (ValueError(), "ValueError"),
        (SyntaxError("bad", ("f.py", 1, 1, "x")), "SyntaxError: bad"),
        (ValueError("\ud800"), r"ValueError: \ud800"),
        (Unshowable(), "Unshowable: its message cannot be shown"),
    ],
)
def test_error_is_shown_on_one_line(error: Exception, shown: str) -> None:
    assert shown_error(error) == shown


def test_long_message_is_cut() -> None:
    assert len(shown_error(ValueError("x" * 10_000))) < 400


def test_only_the_main_thread_is_interrupted_by_the_user() -> None:
    assert is_interrupt(KeyboardInterrupt())
    assert not is_interrupt(SystemExit())
    seen = []
    thread = threading.Thread(target=lambda: seen.append(is_interrupt(KeyboardInterrupt())))
    thread.start()
    thread.join()
    assert seen == [False]
