"""Commands become requests; what is wrong with one is said before anybody is asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import serve.cli
import serve.commands.admin_client
from serve.traffic.report import ModelTraffic
from serve.traffic.state import ModelState
from tests.support.operations import LINE, REPORT, STATE

BY_USER = {"header": "x-user"}
CLOSE = {"to": "c", "percent": 100, "tolerance": 0.1}
ANSWERS = {ModelTraffic: REPORT, ModelState: STATE, dict: {}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """Method, path and body of all that was asked."""
    calls: list[tuple[str, str, Any]] = []

    def ask(
        admin: str, path: str, answer: Any, timeout_s: float = 1, *, method: str = "GET",
        body: Any = None, key: str = "",
    ) -> Any:  # fmt: skip
        calls.append((method, path, body))
        return ANSWERS.get(answer, [LINE])

    monkeypatch.setattr(serve.commands.admin_client, "ask", ask)
    return calls


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(serve.cli.app, ["models", *arguments])


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        ("split f stable=95 4=5", "PUT", "/split", {"split": {"stable": 95, "4": 5}}),
        ("split f", "PUT", "/split", {"split": {}}),
        ("split f --sticky header:x-user", "PUT", "/split", {"split": {}, "sticky": BY_USER}),
        ("split f --sticky none", "PUT", "/split", {"split": {}, "sticky": {}}),
        ("shadow f --to 4 --percent 10", "PUT", "/shadow", {"shadow": {"to": "4", "percent": 10}}),
        ("shadow f --to c --tolerance 0.1", "PUT", "/shadow", {"shadow": CLOSE}),
        ("unshadow f", "DELETE", "/shadow", {}),
        ("label f canary 4", "PUT", "/labels/canary", {"version": 4}),
        ("label f a/b 4", "PUT", "/labels/a%2Fb", {"version": 4}),
        ("unlabel f canary", "DELETE", "/labels/canary", {}),
        ("rollback f --why bad", "POST", "/rollback", {"why": "bad"}),
        ("reset f", "DELETE", "/traffic", {}),
        ("load f", "POST", "/load", {}),
        ("unload f", "POST", "/unload", {}),
    ],
)  # fmt: skip
def test_command_is_a_request(asked, arguments, method, path, body):
    done = invoke(*arguments.split())
    assert done.exit_code == 0, done.output
    assert asked[0] == (method, f"/models/f{path}", {"why": ""} | body)


def test_change_tells_how_it_is_then(asked):
    done = invoke("rollback", "fraud")
    assert asked[1:] == [("GET", "/models/fraud/traffic", None)]
    assert "fraud: version 3 answers by default; labels: stable=3" in done.stdout


def test_change_as_json_is_the_state(asked):
    done = invoke("rollback", "fraud", "--json")
    assert len(asked) == 1
    assert msgspec.json.decode(done.stdout, type=ModelState) == STATE


def test_model_is_quoted(asked):
    invoke("traffic", "a/../b c", "--json")
    assert asked == [("GET", "/models/a%2F..%2Fb%20c/traffic", None)]


def test_audit_is_asked_for_and_shown(asked):
    done = invoke("audit", "fraud", "--limit", "5")
    assert asked == [("GET", "/audit?model=fraud&limit=5&before=0", None)]
    assert "alice@127.0.0.1  fraud  rollback" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("split f stable", "should be TARGET=WEIGHT"),
        ("split f stable=nan", "should be TARGET=WEIGHT"),
        ("split f stable=inf", "should be TARGET=WEIGHT"),
        ("split f stable=-1", "should be TARGET=WEIGHT"),
        ("split f ../x=1", "neither a version's number nor a label"),
        ("split f a=1 a=2", "a is given two weights"),
        ("split f --sticky cookie:x", "should be header:NAME"),
        ("split f --sticky header:", "should be header:NAME"),
        ("shadow f --to -", "neither a version's number nor a label"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(asked, arguments, said):
    done = invoke(*arguments.split())
    assert said in str(done.exception)
    assert asked == []
