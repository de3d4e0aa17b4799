from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.manifest import (
    Manifest,
    check_files,
    file_sha256,
    read_manifest,
    settings_of,
)
from serve.repository.scan import scan_model


def manifest_of(folder: Path, **changes: Any) -> dict[str, Any]:
    model = folder / "model.onnx"
    model.write_bytes(b"graph")
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 1]}
    return {
        "schema_version": 1,
        "name": "m",
        "version": 1,
        "created": "2024-01-01T00:00:00+00:00",
        "signature": {"inputs": [{**tensor, "missing": "nan"}], "outputs": [tensor]},
        "session": {"intra_op_threads": 1},
        "files": [{"path": "model.onnx", "sha256": file_sha256(model), "bytes": 5}],
        **changes,
    }


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder, **changes)))
    return folder


def known(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def test_read_manifest_is_none_without_a_file(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"files": []}, "files"),
        ({"files": [{"path": "../x", "sha256": "0" * 64, "bytes": 1}]}, "files.0.path"),
        ({"profile": []}, "profile"),
        ({"session": {"intra_op_threads": 0}}, "session.intra_op_threads"),
    ],
)
def test_read_manifest_names_the_field_and_a_remedy(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(RepositoryError, match="penstock optimize") as caught:
        read_manifest(write(tmp_path, **changes))
    assert caught.value.field == field


def test_read_manifest_refuses_what_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(RepositoryError, match="is not JSON"):
        read_manifest(tmp_path)


def test_check_files_finds_a_change_that_keeps_the_size(tmp_path: Path) -> None:
    manifest = known(write(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"GRAPH")
    check_files(tmp_path, manifest, contents=False)
    with pytest.raises(RepositoryError, match=r"contents of model\.onnx"):
        check_files(tmp_path, manifest, contents=True)


def test_check_files_finds_a_file_cut_off_without_reading_it(tmp_path: Path) -> None:
    manifest = known(write(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"gra")
    with pytest.raises(RepositoryError, match="has 3 bytes, 5 were verified"):
        check_files(tmp_path, manifest, contents=False)


def test_settings_of_adds_what_null_stands_for_and_the_threads(tmp_path: Path) -> None:
    config = settings_of(ModelConfig(), known(write(tmp_path)))
    default = config.inputs["x"].default
    assert isinstance(default, float) and math.isnan(default)
    assert config.resources.intra_op_threads == 1


def test_settings_of_leaves_what_model_yaml_says(tmp_path: Path) -> None:
    given = ModelConfig.model_validate(
        {"inputs": {"x": {"default": 3.0}}, "resources": {"intra_op_threads": 2}}
    )
    assert settings_of(given, known(write(tmp_path))) == given


def test_settings_of_takes_the_session_that_was_measured(tmp_path: Path) -> None:
    manifest = known(write(tmp_path, session={"graph_optimization": "off"}))
    assert settings_of(ModelConfig(), manifest).resources.graph_optimization == "off"
    given = ModelConfig.model_validate({"resources": {"graph_optimization": "basic"}})
    assert settings_of(given, manifest).resources.graph_optimization == "basic"


def test_profile_for_is_empty_on_another_machine(tmp_path: Path) -> None:
    row = {"batch": 4, "count": 9, "p50_us": 12.5, "p95_us": 20.0, "p99_us": 30.0}
    profile = {"hardware_key": "cpu-here-2c", "intra_op_threads": 1, "rows": [row]}
    manifest = known(write(tmp_path, profiles=[profile]))
    assert manifest.profile_for("cpu-here-2c", 1) == {4: 12_500}
    assert manifest.profile_for("cpu-here-2c", 2) == {}
    assert manifest.profile_for("cpu-there-2c", 1) == {}
    assert manifest.profile_for("cpu-here-2c", 1, "off") == {}


def test_profile_for_is_of_rows_of_the_typical_length(tmp_path: Path) -> None:
    rows = [
        {"batch": 4, "length": length, "count": 9, "p50_us": length, "p95_us": 99, "p99_us": 99}
        for length in (16, 64)
    ]
    profile = {
        "hardware_key": "cpu-here-2c",
        "intra_op_threads": 1,
        "typical_length": 16,
        "rows": rows,
    }
    manifest = known(write(tmp_path, profiles=[profile]))
    assert manifest.profile_for("cpu-here-2c", 1) == {4: 16_000}


def test_scan_serves_the_version_before_one_that_is_half_copied(tmp_path: Path) -> None:
    model = tmp_path / "m"
    for number in ("1", "2"):
        (model / number).mkdir(parents=True)
        write(model / number)
    (model / "2" / "model.onnx").write_bytes(b"gr")
    entry = scan_model(model)
    assert [version.number for version in entry.versions] == [1]
    assert "2 bytes" in str(entry.broken_versions[2])
