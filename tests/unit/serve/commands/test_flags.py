"""Every setting has a flag, and an error names it."""

from __future__ import annotations

import sys

import pytest
import typer
from pydantic import BaseModel

import serve.cli
from serve.commands.flags import flag_of
from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings


@pytest.mark.parametrize("group", [HttpSettings, GrpcSettings, AdminSettings, ServerSettings])
def test_every_setting_of_the_server_has_the_flag_that_errors_name(group: type[BaseModel]) -> None:
    command = typer.main.get_command(serve.cli.app)
    options = {flag for option in command.commands["serve"].params for flag in option.opts}
    fields = set(group.model_fields) - {"http", "grpc", "admin"}
    flags = {flag_of(group.__name__, field) for field in fields}
    assert flags <= options


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
