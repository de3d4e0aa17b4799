from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from serve.backends.base import BackendSource
from serve.clock import monotonic_ns
from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.executors import loader
from serve.executors.loader import prepare
from tests.support import onnx_models


def source(folder: Path, **config: object) -> BackendSource:
    version = folder / "1"
    version.mkdir(exist_ok=True)
    artefact = version / "model.onnx"
    onnx_models.mlp(artefact)
    return BackendSource("mlp", 1, folder, artefact, ModelConfig.model_validate(config))


def test_prepare_measures_batches_up_to_the_limit(tmp_path: Path) -> None:
    warmup = {"budget_ms": 60_000}
    prepared = prepare(
        source(tmp_path, batching={"max_batch_size": 12}, warmup=warmup), monotonic_ns
    )
    assert list(prepared.profile) == [1, 2, 4, 8, 12]
    assert min(prepared.profile.values()) > 0
    prepared.backend.close()


def test_prepare_always_runs_one_batch_when_there_is_no_budget(tmp_path: Path) -> None:
    prepared = prepare(source(tmp_path, warmup={"budget_ms": 0}), monotonic_ns)
    assert list(prepared.profile) == [1]
    prepared.backend.close()


def test_prepare_leaves_the_cores_to_others_as_long_as_it_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(loader.time, "sleep", pauses.append)
    ticks = itertools.count(0, 3_000_000)
    batching = {"max_batch_size": 2}
    for beside in (False, True):
        mlp = source(tmp_path, batching=batching, warmup={"budget_ms": 60_000})
        prepare(mlp, lambda: next(ticks), beside=beside).backend.close()
        assert pauses == [0.003] * 8 * beside


def test_prepare_defaults_to_batches_of_128(tmp_path: Path) -> None:
    prepared = prepare(source(tmp_path, warmup={"budget_ms": 0}), monotonic_ns)
    assert prepared.max_batch_rows == 128
    prepared.backend.close()


def test_prepare_refuses_a_model_that_fails_its_warm_up(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "class Model:\n    def predict(self, inputs):\n        raise ValueError('no weights')\n"
    )
    tensor = {"datatype": "FP32", "shape": [-1, 1]}
    config = ModelConfig.model_validate(
        {"backend": "python", "inputs": {"x": tensor}, "outputs": {"y": tensor}}
    )
    broken = BackendSource("broken", 1, tmp_path, tmp_path / "model.py", config)
    with pytest.raises(RepositoryError, match=r"warm-up batch of 1 rows failed.*no weights"):
        prepare(broken, monotonic_ns)
