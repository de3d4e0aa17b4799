"""The words of the audit log."""

from __future__ import annotations

import pytest

from serve.config import ModelConfig
from serve.errors import InvalidRequest
from serve.traffic.audit import MOST_TEXT, check_told, line_of, words_of
from serve.traffic.changes import Situation
from serve.traffic.operations import Operation, Rollback, SetLabel, SetSplit
from serve.traffic.state import ModelState


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (Rollback(), "rollback"),
        (SetLabel(label="canary", version=4), 'set label: label "canary", version 4'),
        (SetSplit(split={"3": 1.0}), 'set split: split {"3":1.0}'),
    ],
)
def test_operation_in_words(operation: Operation, words: str) -> None:
    assert words_of(operation) == words


def test_words_are_bounded() -> None:
    assert len(words_of(SetSplit(split={str(n): 1.0 for n in range(1, 500)}))) == MOST_TEXT


@pytest.mark.parametrize(
    ("who", "why", "named"),
    [("", "", "who"), ("a\nb", "", "who"), ("me", "x" * 1001, "why"), ("me", "\x1b[2J", "why")],
)
def test_what_cannot_be_kept_is_refused(who: str, why: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        check_told(who, why)


def test_line_has_who_and_why_of_the_situation() -> None:
    state = ModelState(labels={"stable": 3})
    at = Situation(model="m", config=ModelConfig(), state=state, now_s=7.0, who="me", why="tired")
    line = line_of(at, ModelState(), "go home")
    assert (line.model, line.who, line.what, line.why) == ("m", "me", "go home", "tired")
    assert (line.time_s, line.before, line.after) == (7.0, state, ModelState())
    assert line_of(at, ModelState(), "go home", "told to").why == "told to"
