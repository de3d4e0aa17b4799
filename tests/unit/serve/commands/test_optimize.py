from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import optimize.cli
import serve.cli
import serve.registry.mlflow_client
from serve.registry.client import problem_with
from tests.support import onnx_models
from tests.unit.serve.registry.conftest import FakeRegistry


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    registry = FakeRegistry(tmp_path / "registry")
    monkeypatch.setattr(serve.registry.mlflow_client, "open_mlflow", lambda _: registry)
    return registry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose optimisation makes version 1, at once."""
    version = onnx_models.scaled(tmp_path / "fraud/1/model.onnx", 1.0).parent

    def main(_: Path, __: Any, dry_run: bool, ___: bool, made: Callable[[Path], object]) -> int:
        if not dry_run:
            made(version)
        return 0

    monkeypatch.setattr(optimize.cli, "main", main)
    return version.parent


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(serve.cli.app, ["optimize", *map(str, arguments)])


@pytest.mark.parametrize(
    ("flags", "name"),
    [(["--register"], "fraud"), (["--register", "card"], "card"), (["--register=card"], "card")],
)
def test_version_is_registered_by_a_name_or_its_models_own(
    registry: FakeRegistry, folder: Path, flags: list[str], name: str
) -> None:
    for arguments in ([folder, *flags], [*flags, folder]):
        done = invoke(*arguments, "--alias", "champion")
        assert done.exit_code == 0, done.output
    assert registry.aliases == {(name, "champion"): 1}
    assert f"as models:/{name}/1, which champion stands for" in done.output


def test_nothing_is_registered_unless_asked_for(registry: FakeRegistry, folder: Path) -> None:
    assert invoke(folder).exit_code == 0
    assert invoke(folder, "--register", "--dry-run").exit_code == 0
    assert not registry.versions


def test_version_that_cannot_be_registered_is_kept_and_says_how_to_try_again(
    registry: FakeRegistry, folder: Path
) -> None:
    registry.fault = problem_with("registry", "is down", "start it")
    done = invoke(folder, "--register", "card", "--alias", "champion")
    assert done.exit_code == 5
    assert (folder / "1/model.onnx").is_file()
    again = f"`penstock models push {folder / '1'} --name card --alias champion`"
    assert f"is down (start it); try again with {again}" in done.output
    registry.fault = None
    command = again.strip("`").split()[1:]
    assert CliRunner().invoke(serve.cli.app, command).exit_code == 0
    assert registry.aliases == {("card", "champion"): 1}


def test_alias_alone_is_refused(registry: FakeRegistry, folder: Path) -> None:
    done = invoke(folder, "--alias", "champion")
    assert "--alias goes with --register" in str(done.exception)
