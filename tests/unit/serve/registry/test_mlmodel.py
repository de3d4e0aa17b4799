from __future__ import annotations

from pathlib import Path

import pytest

from serve.registry.client import Package
from serve.registry.mlmodel import MLMODEL, flavour_of, write_mlmodel


def written(tmp_path: Path, artefact: str) -> Path:
    package = Package(tmp_path, (), "digest", artefact)
    write_mlmodel(package, "run", lambda path: path.rename(tmp_path / MLMODEL) and None)
    return tmp_path


@pytest.mark.parametrize("artefact", ["model.onnx", "model.pt2"])
def test_package_is_known_again(tmp_path: Path, artefact: str) -> None:
    flavour, settings = flavour_of(written(tmp_path, artefact), "models:/m/1")
    assert (flavour, settings) == ("penstock", {"artefact": artefact})


def test_graph_of_a_package_is_for_mlflow_too(tmp_path: Path) -> None:
    text = (written(tmp_path, "model.onnx") / MLMODEL).read_text()
    assert "loader_module: mlflow.onnx" in text
    (tmp_path / "other").mkdir()
    assert "mlflow.onnx" not in (written(tmp_path / "other", "model.py") / MLMODEL).read_text()


def test_graph_is_taken_before_what_would_be_converted(tmp_path: Path) -> None:
    (tmp_path / MLMODEL).write_text("flavors: {sklearn: {}, onnx: {data: a.onnx}}")
    assert flavour_of(tmp_path, "models:/m/1") == ("onnx", {"data": "a.onnx"})
