"""Commands, and errors as one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import serve.cli
from serve.errors import RepositoryError
from tests.support import onnx_models

Invoke = Callable[..., Any]


@pytest.fixture
def invoke() -> Invoke:
    """The command, in this process."""
    return lambda *arguments, **options: CliRunner().invoke(
        serve.cli.app, [str(argument) for argument in arguments], **options
    )


def test_check_fails_if_any_model_does_and_prints_json(invoke: Invoke, tmp_path: Path) -> None:
    onnx_models.identity(tmp_path / "good" / "1" / "model.onnx")
    (tmp_path / "bad" / "1").mkdir(parents=True)
    done = invoke("check", tmp_path, "--json")
    assert done.exit_code == 1
    found = {item["model"]: item["state"] for item in json.loads(done.stdout)}
    assert found == {"bad": "UNAVAILABLE", "good": "READY"}
    assert "FAIL bad" in invoke("check", tmp_path).stdout


def test_init_says_what_it_made_and_what_to_do_next(invoke: Invoke, tmp_path: Path) -> None:
    source = onnx_models.identity(tmp_path / "m.onnx")
    done = invoke("init", "fraud", "--from", source, "--repo", tmp_path / "new")
    assert done.exit_code == 0
    assert f"made {tmp_path / 'new' / 'fraud' / 'model.yaml'}" in done.stdout
    assert "penstock check" in done.stdout


@pytest.mark.parametrize(("code", "exits"), [(None, 0), (3, 3), ("text", 1)])
def test_exit_code_is_the_commands(
    monkeypatch: pytest.MonkeyPatch, code: int | str | None, exits: int
) -> None:
    monkeypatch.setattr(serve.cli, "app", lambda: sys.exit(code))
    assert serve.cli.run() == exits


def test_schema_describes_model_yaml(invoke: Invoke) -> None:
    assert "batching" in json.loads(invoke("schema").stdout)["properties"]


def test_version_is_the_distributions(invoke: Invoke) -> None:
    assert invoke("version").stdout.strip()[0].isdigit()


@pytest.mark.parametrize("command", ["serve", "check", "init"])
def test_help_shows_an_example(invoke: Invoke, command: str) -> None:
    assert "Example: penstock" in invoke(command, "--help").stdout


@pytest.mark.parametrize(
    "error", [RepositoryError(path="p", problem="bad", remedy="mend it"), OSError("no"), ValueError]
)
def test_what_a_user_can_mend_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(serve.cli, "app", fail)
    assert serve.cli.run() == 2
    assert capsys.readouterr().err.startswith("penstock: ")
