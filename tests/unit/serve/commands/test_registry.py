from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import serve.cli
import serve.registry.mlflow_client
from tests.support import onnx_models
from tests.unit.serve.registry.conftest import FakeRegistry


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    registry = FakeRegistry(tmp_path / "registry")
    monkeypatch.setattr(serve.registry.mlflow_client, "open_mlflow", lambda _: registry)
    return registry


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(serve.cli.app, [str(argument) for argument in arguments])


def add_model(root: Path, name: str, settings: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(settings)
    return folder


def test_pull_of_a_repository_takes_every_model_with_a_source(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.add_graph("fraud", 3)
    add_model(tmp_path / "models", "a", "source: models:/fraud/3")
    add_model(tmp_path / "models", "b", "owner: somebody")
    done = invoke("models", "pull", tmp_path / "models")
    assert done.exit_code == 0, done.output
    version = tmp_path / "models/a/3"
    assert done.output == f"models:/fraud/3 is version 3: pulled to {version}\n"
    done = invoke("models", "pull", tmp_path / "models/a")
    assert done.output == f"models:/fraud/3 is version 3: there already, {version}\n"


def test_pull_goes_on_after_a_model_that_failed(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.add_graph("fraud", 3)
    add_model(tmp_path / "models", "a", "source: models:/gone@x")
    folder = add_model(tmp_path / "models", "b", "source: models:/fraud/3")
    done = invoke("models", "pull", tmp_path / "models")
    assert done.exit_code == 1
    assert "models:/gone@x: is not there (register it)" in done.output
    assert (folder / "3").is_dir()


def test_pull_of_nothing_says_what_to_add(registry: FakeRegistry, tmp_path: Path) -> None:
    add_model(tmp_path, "b", "owner: somebody")
    done = invoke("models", "pull", tmp_path)
    assert "source: models:/fraud@champion" in str(done.exception)


def test_push_takes_the_name_of_the_model(registry: FakeRegistry, tmp_path: Path) -> None:
    version = onnx_models.scaled(tmp_path / "fraud/3/model.onnx", 1.0).parent
    done = invoke("models", "push", version, "--alias", "champion")
    assert done.output == (f"registered {version} as models:/fraud/1, which champion stands for\n")
    assert registry.aliases == {("fraud", "champion"): 1}
    done = invoke("models", "push", version)
    assert done.output == f"{version} is registered, as models:/fraud/1\n"
