"""``penstock models rollout``: its plan, and what is wrong with one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import serve.cli
import serve.commands.admin_client
import serve.commands.rollout_watch
from serve.traffic.report import ModelTraffic
from serve.traffic.state import Rollout
from tests.support.operations import REPORT, STATE

ROLLOUT = Rollout(version=4, stable=3, steps=(1, 100), hold_s=300, step=0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    calls: list[tuple[str, str, Any]] = []

    def ask(admin: str, path: str, answer: Any, **how: Any) -> Any:
        calls.append((how.get("method", "GET"), path, how.get("body")))
        report = msgspec.structs.replace(REPORT, rollout=ROLLOUT)
        return report if answer is ModelTraffic else STATE

    monkeypatch.setattr(serve.commands.admin_client, "ask", ask)
    return calls


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(serve.cli.app, ["models", "rollout", *arguments])


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        ("--to 4", "", {"to": 4}),
        ("start --to 4 --steps 1,5%,100", "", {"to": 4, "steps": [1, 5, 100]}),
        ("--to 4 --hold 5m", "", {"to": 4, "hold_s": 300}),
        ("--to 4 --hold 1.5h", "", {"to": 4, "hold_s": 5400}),
        ("--to 4 --hold 90", "", {"to": 4, "hold_s": 90}),
        (
            "--to 4 --guard max_p99_ratio=2.5 --guard min_requests=50 --guard max_score_shift=off",
            "",
            {
                "to": 4,
                "guards": {"max_p99_ratio": 2.5, "min_requests": 50, "max_score_shift": None},
            },
        ),
        ("pause --why lunch", "/pause", {"why": "lunch"}),
        ("resume", "/resume", {}),
        ("advance", "/advance", {}),
    ],
)
def test_command_is_a_request(asked, arguments, path, body):
    done = invoke("f", *arguments.split())
    assert done.exit_code == 0, done.output
    assert asked == [
        ("POST", f"/models/f/rollout{path}", {"why": ""} | body),
        ("GET", "/models/f/traffic", None),
    ]
    assert "rollout of version 4: the version is being loaded" in done.stdout


def test_status_is_the_default(asked):
    invoke("f")
    assert asked == [("GET", "/models/f/traffic", None)]


def test_json_has_the_rollout(asked):
    told = msgspec.json.decode(invoke("f", "--json").stdout)
    assert msgspec.convert(told["rollout"], Rollout) == ROLLOUT


def test_exit_code_of_a_watch_is_what_became_of_it(asked, monkeypatch):
    monkeypatch.setattr(serve.commands.rollout_watch, "watch_rollout", lambda *_, as_json: 1)
    assert invoke("f", "--to", "4", "--watch").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("start", "--to: which version?"),
        ("pause --to 4", "--to goes with the beginning"),
        ("status --hold 5m", "--hold goes with the beginning"),
        ("--to 4 --steps one,two", "should be percentages"),
        ("--to 4 --hold soon", "should be a time"),
        ("--to 4 --hold -5m", "should be a time"),
        ("--to 4 --guard max_p99_ratio", "NAME=NUMBER or NAME=off"),
        ("--to 4 --guard max_p99_ratio=nan", "NAME=NUMBER or NAME=off"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(asked, arguments, said):
    done = invoke("f", *arguments.split())
    assert said in str(done.exception)
    assert asked == []
