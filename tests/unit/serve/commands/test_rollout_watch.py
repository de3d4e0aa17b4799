"""A rollout is watched to its end, also over a restart of the server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rich.console import Console

import serve.commands.admin_client
from serve.commands import rollout_watch
from serve.commands.admin_flags import Server
from serve.commands.rollout_watch import PATIENCE_S, picture, watch_rollout
from serve.traffic.report import ModelTraffic
from serve.traffic.state import Rollout, RolloutStatus
from serve.traffic.verdict import GuardName, Verdict
from tests.support.operations import REPORT

LOADING = Rollout(version=4, stable=3, steps=(5, 100), hold_s=60, began_s=10.0)
HOLDING = msgspec.structs.replace(
    LOADING, status=RolloutStatus.HOLDING, step=0, step_began_s=100.0, holds=1
)
DONE = msgspec.structs.replace(HOLDING, status=RolloutStatus.COMPLETED, step=1, ended_s=200.0)
BACK = msgspec.structs.replace(
    HOLDING, status=RolloutStatus.ROLLED_BACK, ended_s=150.0, reason="errors 12 % of 210 requests"
)
VERDICT = Verdict(guard=GuardName.ERRORS, state="waiting", text="30 of 100 requests")
GONE = ConnectionError("no server answers")


class Told:
    """A server that tells one thing after the other, and a clock that goes on meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *told: Any) -> None:
        self._told: Iterator[Any] = iter(told)
        self.now_s = 0.0
        monkeypatch.setattr(serve.commands.admin_client, "ask", self._ask)

    def _ask(self, admin: str, path: str, answer: Any, **how: Any) -> ModelTraffic:
        told = next(self._told)
        if isinstance(told, BaseException):
            raise told
        return msgspec.structs.replace(REPORT, rollout=told, verdicts=(VERDICT,))

    def _wait(self, seconds: float) -> None:
        self.now_s += seconds

    def watch(self, *, as_json: bool = False) -> int:
        return watch_rollout(
            Server("h:1"), "fraud", as_json=as_json, wait=self._wait, clock_s=lambda: self.now_s
        )


def test_completed_is_0_and_each_change_a_line(monkeypatch, capsys):
    assert Told(monkeypatch, LOADING, LOADING, HOLDING, HOLDING, DONE).watch() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("rollout")] == [
        "rollout of version 4: the version is being loaded",
        "rollout of version 4: it has 5 % of the traffic (step 1 of 2, each for 1 min)",
        lines[-1],
    ]
    assert "completed" in lines[-1]
    assert lines.count("    errors waiting: 30 of 100 requests") == 2  # loading, and holding


def test_rolled_back_is_1_with_the_reason(monkeypatch, capsys):
    assert Told(monkeypatch, HOLDING, BACK).watch() == 1
    assert "rolled back" in (out := capsys.readouterr().out)
    assert out.rstrip().endswith(": errors 12 % of 210 requests")


def test_json_is_a_document_for_each_change(monkeypatch, capsys):
    Told(monkeypatch, HOLDING, HOLDING, BACK).watch(as_json=True)
    assert capsys.readouterr().out.count('"rollout": {') == 2


def test_server_that_is_started_again_is_waited_for(monkeypatch, capsys):
    assert Told(monkeypatch, HOLDING, GONE, GONE, DONE).watch() == 0
    assert capsys.readouterr().err.count("goes on when it is back") == 1


def test_server_that_stays_away_is_given_up(monkeypatch):
    told = Told(monkeypatch, HOLDING, *([GONE] * 1000))
    with pytest.raises(ConnectionError):
        told.watch()
    assert PATIENCE_S < told.now_s < PATIENCE_S + 5


def test_server_that_was_never_there_is_not_waited_for(monkeypatch):
    with pytest.raises(ConnectionError):
        Told(monkeypatch, GONE).watch()


def test_nothing_to_watch_is_said(monkeypatch):
    with pytest.raises(ValueError, match="has no rollout; begin one with --to"):
        Told(monkeypatch, None).watch()


@pytest.mark.parametrize("after", [None, msgspec.structs.replace(LOADING, began_s=99.0)])
def test_rollout_that_is_replaced_is_not_completed(monkeypatch, capsys, after):
    assert Told(monkeypatch, HOLDING, after).watch() == 1
    assert "not there any more" in capsys.readouterr().err


def test_interrupt_leaves_it_going_on(monkeypatch, capsys):
    assert Told(monkeypatch, HOLDING, KeyboardInterrupt()).watch() == 130
    assert "the rollout goes on" in capsys.readouterr().err


def test_terminal_gets_a_picture_that_changes(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(rollout_watch, "Console", lambda: console)
    assert Told(monkeypatch, HOLDING, GONE, BACK).watch() == 1
    assert "goes on when it is back" in screen.getvalue()
    assert "errors 12 % of 210 requests" in screen.getvalue()


def test_picture_shows_step_time_and_guards():
    console = Console(file=io.StringIO(), width=120)
    report = msgspec.structs.replace(REPORT, verdicts=(VERDICT,))
    with console.capture() as shown:
        console.print(picture(report, HOLDING, 130.0))
    text = shown.get()
    assert "5 %*" in text
    assert "30 s of 1 min" in text
    assert "waiting" in text and "30 of 100 requests" in text
