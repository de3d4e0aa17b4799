"""``penstock models``: the default command, and the two forms of its output."""

from __future__ import annotations

import msgspec
import pytest
from typer.testing import CliRunner

import serve.cli
import serve.commands.admin_client
from serve.gateway.details import Details, VersionDetails
from serve.gateway.overview import Overview, Row

OVERVIEW = Overview(
    server="s", ready=True, remote=False, models=(Row(name="m", version="1", state="READY"),)
)

DETAILS = Details(name="m", versions=(VersionDetails(version="1", state="READY"),))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Where the command has asked; it is told ``OVERVIEW``."""
    calls: list[tuple[str, str]] = []

    def ask(admin: str, path: str, answer: type, **how: object) -> object:
        calls.append((admin, path))
        return OVERVIEW if answer is Overview else DETAILS

    monkeypatch.setattr(serve.commands.admin_client, "ask", ask)
    return calls


@pytest.mark.parametrize(
    ("arguments", "admin"),
    [
        ([], "http://127.0.0.1:8002"),
        (["list"], "http://127.0.0.1:8002"),
        (["--admin", "h:1"], "h:1"),
        (["list", "--admin=h:1"], "h:1"),
    ],
)
def test_list_is_the_default(asked, arguments, admin):
    done = CliRunner().invoke(serve.cli.app, ["models", *arguments])
    assert done.exit_code == 0, done.output
    assert asked == [(admin, "/status")]
    assert "MODEL" in done.output


def test_environment_names_the_server(asked):
    CliRunner().invoke(serve.cli.app, ["models"], env={"PENSTOCK_ADMIN": "h:2"})
    assert asked == [("h:2", "/status")]


def test_json_is_the_overview(asked):
    done = CliRunner().invoke(serve.cli.app, ["models", "--json"])
    assert msgspec.json.decode(done.stdout, type=Overview) == OVERVIEW


def test_unknown_command_is_refused(asked):
    done = CliRunner().invoke(serve.cli.app, ["models", "lst"])
    assert done.exit_code == 2
    assert asked == []


def test_show_asks_for_one_model(asked):
    done = CliRunner().invoke(serve.cli.app, ["models", "show", "m", "--admin", "h:1"])
    assert done.exit_code == 0, done.output
    assert asked == [("h:1", "/status"), ("h:1", "/models/m")]
    assert "version 1  READY" in done.output


def test_show_as_json_is_all_that_is_known(asked):
    done = CliRunner().invoke(serve.cli.app, ["models", "show", "m", "--json"])
    assert msgspec.json.decode(done.stdout, type=Details) == DETAILS


def test_show_names_the_models_there_are(asked):
    done = CliRunner().invoke(serve.cli.app, ["models", "show", "n"])
    assert isinstance(done.exception, ValueError)
    assert str(done.exception) == "the server has no model 'n'; it has m"
