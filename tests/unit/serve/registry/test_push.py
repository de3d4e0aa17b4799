from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serve.errors import RepositoryError
from serve.registry.client import problem_with
from serve.registry.push import package_of, push
from serve.repository.manifest import file_sha256
from tests.support import onnx_models
from tests.unit.serve.registry.conftest import FakeRegistry


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return onnx_models.scaled(tmp_path / "fraud/3/model.onnx", 1.0).parent


def write_manifest(version: Path, **fields: Any) -> None:
    graph = version / "model.onnx"
    tensors = [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    entry = {"path": graph.name, "sha256": file_sha256(graph), "bytes": graph.stat().st_size}
    manifest = {
        "schema_version": 1,
        "name": "fraud",
        "version": 3,
        "created": "2026-01-01T00:00:00+00:00",
        "signature": {"inputs": tensors, "outputs": tensors},
        "files": [entry],
        **fields,
    }
    (version / "manifest.json").write_text(json.dumps(manifest))


def test_same_contents_are_registered_once(registry: FakeRegistry, version: Path) -> None:
    made, new = push(version, "fraud", registry)
    again, new_again = push(version, "fraud", registry, "champion")
    assert (new, again, new_again) == (True, made, False)
    assert registry.aliases["fraud", "champion"] == made.number


def test_what_a_manifest_knows_is_registered(version: Path) -> None:
    steps = [{"name": "export", "parameters": {"opset": 18}}, {"name": "clean"}]
    write_manifest(
        version,
        metrics={"roc_auc": 0.91, "cost.py:money": {"mean": 3}, "passed": True},
        lineage={"steps": steps, "code_commit": "abc", "source_files": {"train.py": "0" * 64}},
        profiles=[
            {
                "hardware_key": "cpu",
                "intra_op_threads": 1,
                "rows": [{"batch": 8, "count": 9, "p50_us": 500, "p95_us": 900, "p99_us": 1000}],
            }
        ],
    )
    package = package_of(version)
    assert package.params == {"step0": "export", "step0.opset": "18", "step1": "clean"}
    assert package.metrics == {
        "roc_auc": 0.91,
        "cost.py_money.mean": 3.0,
        "latency_p50_ms.batch_8": 0.5,
        "latency_p99_ms.batch_8": 1.0,
    }
    assert package.tags["penstock.code_commit"] == "abc"
    assert len(package.tags["penstock.source_files"]) < 500


def test_version_that_is_not_what_was_verified_is_not_pushed(
    registry: FakeRegistry, version: Path
) -> None:
    write_manifest(version)
    (version / "model.onnx").write_bytes(b"other")
    with pytest.raises(RepositoryError, match="were verified"):
        push(version, "fraud", registry)
    assert not registry.versions


@pytest.mark.parametrize("place", ["", "3/model.onnx", "gone/4"])
def test_folder_that_is_no_version_says_which_to_give(version: Path, place: str) -> None:
    with pytest.raises(RepositoryError, match="give MODEL_FOLDER/NUMBER, as in models/fraud/3"):
        package_of(version.parent / place)


@pytest.mark.parametrize("name", ["", "a/b", "a' or 'b", "a@b", "models:/a"])
def test_name_that_no_registered_model_has_is_refused(
    registry: FakeRegistry, version: Path, name: str
) -> None:
    with pytest.raises(RepositoryError, match="is no name of a registered model"):
        push(version, name, registry)


def test_registry_that_is_down_is_told(registry: FakeRegistry, version: Path) -> None:
    registry.fault = problem_with("registry", "is down", "start it")
    with pytest.raises(RepositoryError, match="is down"):
        push(version, "fraud", registry)
