"""The ONNX Runtime backend on a CUDA device: the same answers, and no silent fall-back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from serve.backends.base import BackendSource
from serve.backends.registry import create_backend
from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.tensors import DATATYPES, Array, Batch
from tests.support import onnx_models


def outputs_on(device: str, artefact: Path, *arrays: Array) -> list[Array]:
    config = ModelConfig.model_validate({"resources": {"device": device}})
    backend = create_backend("onnxruntime")
    backend.load(BackendSource("m", 1, artefact.parent.parent, artefact, config))
    try:
        return backend.run(Batch(arrays, len(arrays[0])))
    finally:
        backend.close()


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    return tmp_path / "m" / "1" / "model.onnx"


@pytest.mark.parametrize("device", ["cuda", "auto"])
@pytest.mark.parametrize("rows", [1, 3, 128])
def test_mlp_agrees_with_the_cpu(artefact: Path, device: str, rows: int) -> None:
    onnx_models.mlp(artefact)
    x = np.random.default_rng(0).standard_normal((rows, 30)).astype(np.float32)
    cpu, cuda = (outputs_on(where, artefact, x)[0] for where in ("cpu", device))
    # Tensor cores round FP32 to TF32 on the way in.
    np.testing.assert_allclose(cuda, cpu, atol=5e-3)


def test_integers_agree_to_the_last_bit(artefact: Path) -> None:
    onnx_models.add_sub(artefact)
    a, b = np.full((4, 16), 2**30, np.int32), np.arange(64, dtype=np.int32).reshape(4, 16)
    total, difference = outputs_on("cuda", artefact, a, b)
    assert np.array_equal(total, a + b)
    assert np.array_equal(difference, a - b)


def test_strings_pass_through(artefact: Path) -> None:
    onnx_models.string_echo(artefact)
    (echo,) = outputs_on("cuda", artefact, np.array([["é".encode()]], object))
    assert echo.tolist() == [["é"]]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP64", "INT64", "UINT8", "BOOL"])
def test_datatypes_pass_through(artefact: Path, datatype: str) -> None:
    onnx_models.identity(artefact, datatype)
    x = (np.arange(8) % 2).reshape(2, 4).astype(DATATYPES[datatype].dtype)
    (y,) = outputs_on("cuda", artefact, x)
    assert y.dtype == x.dtype
    assert y.tobytes() == x.tobytes()


def test_absent_device_number_is_refused(artefact: Path) -> None:
    onnx_models.mlp(artefact)
    with pytest.raises(RepositoryError):
        outputs_on("cuda:63", artefact, np.zeros((1, 30), np.float32))


def test_threads_at_once_get_their_own_answers(artefact: Path) -> None:
    onnx_models.mlp(artefact)
    settings = {"resources": {"device": "cuda", "instances": 4}}
    backend = create_backend("onnxruntime")
    config = ModelConfig.model_validate(settings)
    backend.load(BackendSource("m", 1, artefact.parent.parent, artefact, config))
    rng = np.random.default_rng(0)
    batches = [Batch((rng.standard_normal((8, 30)).astype(np.float32),), 8) for _ in range(32)]
    alone = [backend.run(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = [outputs[0] for outputs in pool.map(backend.run, batches)]
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_memory_shrinks_after_a_burst_without_harm(artefact: Path) -> None:
    onnx_models.mlp(artefact)
    backend = create_backend("onnxruntime")
    config = ModelConfig.model_validate({"resources": {"device": "cuda"}})
    backend.load(BackendSource("m", 1, artefact.parent.parent, artefact, config))
    for rows in [128, *[1] * 200, 128]:
        assert backend.run(Batch((np.ones((rows, 30), np.float32),), rows))[0].shape == (rows, 1)
