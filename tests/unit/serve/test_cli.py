"""Flags become settings, errors become one line. Running the server is in the integration
tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

import serve.cli
from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings
from serve.errors import RepositoryError
from tests.support import onnx_models

Invoke = Callable[..., Any]


@pytest.fixture
def invoke() -> Invoke:
    """The command, in this process."""
    return lambda *arguments, **options: CliRunner().invoke(
        serve.cli.app, [str(argument) for argument in arguments], **options
    )


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServerSettings]:
    """The settings that ``penstock serve`` would have run with."""
    settings: list[ServerSettings] = []
    monkeypatch.setattr(serve.cli, "_run_server", lambda _, given: settings.append(given))
    return settings


def test_flags_left_out_are_the_settings_defaults(
    invoke: Invoke, served: list[ServerSettings]
) -> None:
    assert invoke("serve", "models").exit_code == 0
    assert served == [ServerSettings()]


def test_every_listener_gets_its_flags(invoke: Invoke, served: list[ServerSettings]) -> None:
    flags = ["--host=::1", "--http-port=1", "--grpc-port=2", "--admin-port=3", "--body-timeout=7"]
    invoke("serve", "models", *flags, "--grpc-max-inflight-bytes=5000", "--load-timeout=9")
    (settings,) = served
    assert settings.http is not None
    assert settings.grpc is not None
    assert settings.admin is not None
    assert (settings.http.host, settings.grpc.host, settings.admin.host) == (
        "::1",
        "::1",
        "127.0.0.1",
    )
    assert (settings.http.port, settings.grpc.port, settings.admin.port) == (1, 2, 3)
    assert (settings.http.body_timeout_s, settings.grpc.message_timeout_s) == (7, 7)
    assert (settings.grpc.max_inflight_bytes, settings.load_timeout_s) == (5000, 9)


def test_listener_can_be_left_out(invoke: Invoke, served: list[ServerSettings]) -> None:
    invoke("serve", "models", "--no-grpc")
    assert served[0].grpc is None
    assert served[0].http is not None


def test_environment_stands_in_for_flags(invoke: Invoke, served: list[ServerSettings]) -> None:
    invoke("serve", "models", env={"PENSTOCK_SERVE_SERVER_NAME": "mine"})
    assert served[0].name == "mine"


@pytest.mark.parametrize("group", [HttpSettings, GrpcSettings, AdminSettings, ServerSettings])
def test_every_setting_of_the_server_has_the_flag_that_errors_name(group: type[BaseModel]) -> None:
    command = typer.main.get_command(serve.cli.app)
    options = {flag for option in command.commands["serve"].params for flag in option.opts}
    fields = set(group.model_fields) - {"http", "grpc", "admin"}
    flags = {serve.cli._flag(group.__name__, field) for field in fields}
    assert flags <= options


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
    ("flags", "says"),
    [
        (["--http-port=99999"], "--http-port: should be less than or equal to 65535, is 99999"),
        (["--grpc-port=-1"], "--grpc-port: "),
        (["--grpc-max-message-bytes=5"], "--grpc-max-message-bytes: "),
        (["--body-timeout=0"], "--body-timeout: should be greater than 0, is 0.0"),
        (["--no-http", "--write-timeout=inf"], "--write-timeout: "),
        (["--drain-timeout=nan"], "--drain-timeout: "),
        (["--tls-cert=cert.pem"], "--tls-cert and --tls-key go together"),
    ],
)
def test_flag_that_is_wrong_is_named_in_one_line(
    flags: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["penstock", "serve", "models", *flags])
    assert serve.cli.run() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"penstock: {says}")


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


@pytest.mark.parametrize(
    ("flags", "address"),
    [
        (["models", "--ray"], "local"),
        (["--ray", "models"], "local"),
        (["--ray", "local", "models"], "local"),
        (["models", "--ray", "auto"], "auto"),
        (["models", "--ray", "--strict"], "local"),
        (["--ray", "10.0.0.1:6379", "models"], "10.0.0.1:6379"),
    ],
)
def test_ray_takes_an_address_or_none(
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    flags: list[str],
    address: str,
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    runs: list[tuple[str, str]] = []

    def run(repo: str, _: ServerSettings, address: str, __: int) -> int:
        runs.append((repo, address))
        return 0

    monkeypatch.setattr(serve.cli, "_run_on_ray", run)
    assert invoke("serve", *flags).exit_code == 0
    assert runs == [("models", address)]


def test_gateways_are_refused_without_ray(invoke: Invoke, served: list[ServerSettings]) -> None:
    result = invoke("serve", "models", "--gateways=2")
    assert served == []
    assert "--gateways 2 goes with --ray" in str(result.exception)


def test_ray_before_a_url_is_a_cluster_of_ones_own(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[str, str]] = []

    def run(repo: str, _: ServerSettings, address: str, __: int) -> int:
        runs.append((repo, address))
        return 0

    monkeypatch.setattr(serve.cli, "_run_on_ray", run)
    assert invoke("serve", "--ray", "s3://bucket/models").exit_code == 0
    assert invoke("serve", "--ray", "ray://head:10001", "s3://bucket/models").exit_code == 0
    assert runs == [("s3://bucket/models", "local"), ("s3://bucket/models", "ray://head:10001")]


def test_url_on_a_cluster_that_was_joined_asks_for_a_folder_all_nodes_see(invoke: Invoke) -> None:
    done = invoke("serve", "--ray", "auto", "s3://bucket/models")
    assert "name it with --repository-cache" in str(done.exception)


def test_registry_is_followed_in_poll_mode_where_it_is_told(
    invoke: Invoke, served: list[ServerSettings]
) -> None:
    flags = ["--model-control-mode=poll", "--registry-poll-secs=5"]
    invoke("serve", "models", *flags, env={"MLFLOW_TRACKING_URI": "http://mlflow:5000"})
    (settings,) = served
    assert (settings.tracking_uri, settings.registry_poll_secs) == ("http://mlflow:5000", 5)
