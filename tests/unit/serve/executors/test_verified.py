from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.backends.base import BackendSource
from serve.backends.threads import available_cores
from serve.clock import monotonic_ns
from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.executors.loader import prepare
from serve.executors.verified import replay_golden
from serve.repository.golden import read_golden, write_golden
from serve.repository.hardware import hardware_key
from serve.repository.manifest import file_sha256, read_manifest
from serve.tensors import Array, Batch
from tests.support import onnx_models


def package(folder: Path, hardware: str, golden_shift: float = 0.0) -> BackendSource:
    """A version of the small network with a manifest and golden samples."""
    version = folder / "1"
    version.mkdir()
    onnx_models.mlp(version / "model.onnx", features=3)
    source = BackendSource("mlp", 1, folder, version / "model.onnx", ModelConfig())
    plain = prepare(source, monotonic_ns)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    (answers,) = plain.backend.run(Batch((rows,), 4))
    write_golden(version / "golden.npz", {"x": rows}, {"probability": answers + golden_shift})
    row = {"batch": 16, "count": 9, "p50_us": 77.0, "p95_us": 80.0, "p99_us": 90.0}
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "name": "mlp",
        "version": 1,
        "created": "2024-01-01T00:00:00+00:00",
        "signature": {"inputs": [], "outputs": []},
        "session": {"intra_op_threads": 1},
        "golden": {"path": "golden.npz", "atol": 1e-4, "rtol": 0},
        "profiles": [{"hardware_key": hardware, "intra_op_threads": 1, "rows": [row]}],
        "files": [
            {"path": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size}
            for path in sorted(version.iterdir())
        ],
    }
    (version / "manifest.json").write_text(json.dumps(manifest))
    return source


def test_prepare_starts_from_the_profile_of_such_a_machine(tmp_path: Path) -> None:
    prepared = prepare(package(tmp_path, hardware_key(available_cores())), monotonic_ns)
    assert prepared.profile == {16: 77_000}
    assert prepared.source.config.resources.intra_op_threads == 1


def test_prepare_measures_itself_where_the_profile_is_of_another_machine(tmp_path: Path) -> None:
    prepared = prepare(package(tmp_path, "cpu-of-somebody-else-64c"), monotonic_ns)
    assert 1 in prepared.profile


def test_prepare_refuses_answers_that_are_not_the_verified_ones(tmp_path: Path) -> None:
    source = package(tmp_path, "elsewhere", golden_shift=0.01)
    with pytest.raises(RepositoryError, match="golden samples output 'probability' differs"):
        prepare(source, monotonic_ns)


def test_prepare_refuses_a_graph_that_was_changed(tmp_path: Path) -> None:
    source = package(tmp_path, "elsewhere")
    content = bytearray(source.artefact.read_bytes())
    content[-1] ^= 1
    source.artefact.write_bytes(content)
    with pytest.raises(RepositoryError, match=r"files\.1\.sha256: the contents of model.onnx"):
        prepare(source, monotonic_ns)


class MovesAlone:
    """A backend of which a row alone is 0.01 away from what it is among others."""

    def __init__(self, answers: Array) -> None:
        self._answers = answers

    def run(self, batch: Batch) -> list[Array]:
        return [self._answers[: batch.rows] + np.float32(0.01 if batch.rows == 1 else 0)]


def test_replay_allows_a_row_alone_what_its_neighbours_may_move_it(tmp_path: Path) -> None:
    source = package(tmp_path, "elsewhere")
    signature = prepare(source, monotonic_ns).signature
    manifest = read_manifest(tmp_path / "1")
    assert manifest is not None and manifest.golden is not None
    _, outputs = read_golden(tmp_path / "1" / "golden.npz")
    backend: Any = MovesAlone(outputs["probability"])
    with pytest.raises(RepositoryError, match=r"differs by up to 0\.01"):
        replay_golden(source, backend, signature, manifest, 128)
    golden = manifest.golden.model_copy(update={"batch_atol": 0.02})
    replay_golden(source, backend, signature, manifest.model_copy(update={"golden": golden}), 128)
