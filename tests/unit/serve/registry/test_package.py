from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.registry.package import lay_out
from serve.registry.push import package_of, push
from serve.repository.manifest import check_files, read_manifest
from tests.support import onnx_models
from tests.unit.serve.registry.conftest import FakeRegistry, mlmodel

ORIGIN = {"model": "fraud", "version": 3}


def laid_out(files: Path, tmp_path: Path) -> Path:
    version = tmp_path / "version"
    version.mkdir()
    lay_out(files, version, "served", 9, ORIGIN)
    return version


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What was downloaded of a graph."""
    folder = tmp_path / "files"
    onnx_models.scaled(folder / "graph.onnx", 1.0)
    (folder / "MLmodel").write_bytes(mlmodel("onnx", data="graph.onnx"))
    (folder / "conda.yaml").write_text("{}")
    return folder


def test_graph_is_named_and_gets_a_manifest(files: Path, tmp_path: Path) -> None:
    version = laid_out(files, tmp_path)
    assert {path.name for path in version.iterdir()} == {"model.onnx", "manifest.json"}
    manifest = read_manifest(version)
    assert manifest is not None
    check_files(version, manifest, contents=True)
    assert (manifest.name, manifest.version) == ("served", 9)
    (given,) = manifest.signature.inputs
    assert (given.name, given.datatype, given.shape) == ("x", "FP32", (-1, 1))


def test_weights_beside_the_graph_come_with_it(files: Path, tmp_path: Path) -> None:
    (files / "weights.data").write_bytes(b"weights")
    version = laid_out(files, tmp_path)
    manifest = read_manifest(version)
    assert manifest is not None
    assert [entry.path for entry in manifest.files] == ["model.onnx", "weights.data"]


@pytest.mark.parametrize("data", ["../graph.onnx", "/etc/passwd", "gone.onnx"])
def test_graph_elsewhere_is_refused(files: Path, tmp_path: Path, data: str) -> None:
    (files / "MLmodel").write_bytes(mlmodel("onnx", data=data))
    with pytest.raises(RepositoryError, match="it has no "):
        laid_out(files, tmp_path)


def test_graph_that_cannot_be_loaded_is_refused(files: Path, tmp_path: Path) -> None:
    (files / "graph.onnx").write_bytes(b"not a graph")
    with pytest.raises(RepositoryError, match="its graph cannot be loaded"):
        laid_out(files, tmp_path)


def test_links_are_refused(files: Path, tmp_path: Path) -> None:
    os.symlink("/etc/passwd", files / "weights.data")
    with pytest.raises(RepositoryError, match=r"'weights\.data', a link or a hidden file"):
        laid_out(files, tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "its files have no MLmodel"),
        ("{", "its MLmodel cannot be read"),
        ("[]", "its MLmodel cannot be read"),
        ("flavors: 3", "its MLmodel cannot be read"),
        ("flavors: {keras: {}}", r"its flavours are 'keras' \(register it as one of onnx, sklearn"),
    ],
)
def test_model_that_cannot_be_served_says_why(
    files: Path, tmp_path: Path, text: str | None, problem: str
) -> None:
    (files / "MLmodel").unlink()
    if text is not None:
        (files / "MLmodel").write_text(text)
    with pytest.raises(RepositoryError, match=f"^models:/fraud/3: {problem}"):
        laid_out(files, tmp_path)


def test_package_keeps_its_manifest_and_says_where_it_comes_from(
    registry: FakeRegistry, files: Path, tmp_path: Path
) -> None:
    first = laid_out(files, tmp_path).rename(tmp_path / "4")
    manifest = json.loads((first / "manifest.json").read_text())
    manifest["metrics"] = {"roc_auc": 0.9}
    (first / "manifest.json").write_text(json.dumps(manifest))
    made, _ = push(first, "fraud", registry)
    second = laid_out(Path(made.uri), tmp_path)
    found = read_manifest(second)
    assert found is not None
    assert found.metrics == {"roc_auc": 0.9}
    assert found.lineage["registry"]["flavour"] == "penstock"


def test_package_with_another_file_than_was_registered_is_refused(
    registry: FakeRegistry, files: Path, tmp_path: Path
) -> None:
    version = laid_out(files, tmp_path).rename(tmp_path / "4")
    made, _ = push(version, "fraud", registry)
    graph = Path(made.uri, "model.onnx")
    data = bytearray(graph.read_bytes())
    data[-1] ^= 1
    graph.write_bytes(data)
    with pytest.raises(RepositoryError, match=r"the contents of model\.onnx are not those"):
        laid_out(Path(made.uri), tmp_path)


def test_package_of_says_what_is_known(tmp_path: Path) -> None:
    version = onnx_models.scaled(tmp_path / "m/2/model.onnx", 1.0).parent
    (version / "__pycache__").mkdir()
    (version / "__pycache__/x.pyc").write_bytes(b"")
    package = package_of(version)
    assert [path.name for path in package.files] == ["model.onnx"]
    assert (package.artefact, package.tags["penstock.version"]) == ("model.onnx", "m/2")
