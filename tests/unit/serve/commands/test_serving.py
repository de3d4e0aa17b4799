"""Flags become settings. Running the server is in the integration tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import serve.cli
from serve.commands import serving
from serve.config import ServerSettings

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
    monkeypatch.setattr(serving, "_run_server", lambda _, given: settings.append(given))
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

    monkeypatch.setattr(serving, "_run_on_ray", run)
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

    monkeypatch.setattr(serving, "_run_on_ray", run)
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


def test_keys_and_state_are_files_of_ones_own(invoke: Invoke, served: list[ServerSettings]) -> None:
    invoke("serve", "models", "--admin-keys=keys.yaml", "--state=rules.sqlite3")
    (settings,) = served
    assert settings.admin is not None
    assert (settings.admin.keys_file, settings.state) == (Path("keys.yaml"), Path("rules.sqlite3"))
