"""AOTInductor and TensorRT on a device: the same answers as PyTorch and as CUDA."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.backends.base import BackendSource
from serve.backends.registry import create_backend
from serve.config import ModelConfig
from serve.tensors import Array, Batch
from tests.support import onnx_models

ATOL = 5e-3
"""Tensor cores round FP32 to TF32 on the way in."""


def loaded(artefact: Path, kind: str, **settings: Any) -> Any:
    config = ModelConfig.model_validate({"resources": {"device": "cuda"}, **settings})
    backend = create_backend(kind)
    folder = artefact.parent.parent
    backend.load(BackendSource("m", 1, folder, artefact, config, verified=True))
    return backend


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """``model.pt2`` for CUDA of a small network whose rows have one shape, and the network."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from optimize.steps.aot_inductor import AotInductor
    from optimize.steps.base import COMPILED, PROGRAM, Context

    step = AotInductor(device="cuda")
    if step.unavailable():
        pytest.skip(step.unavailable())
    folder = tmp_path_factory.mktemp("cuda")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(30, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3), torch.nn.Softmax(-1)
    ).eval()
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(module, (torch.zeros(3, 30),), dynamic_shapes=shapes)
    torch.export.save(program, folder / PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
        step.run(folder / PROGRAM, folder / COMPILED, Context({}))
    return folder / COMPILED, module


def rows(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 30)).astype(np.float32)


@pytest.mark.parametrize("graphs", ["", "off", "1,8"])
@pytest.mark.parametrize("count", [1, 3, 8, 100, 300])
def test_compiled_network_answers_as_the_module(
    network: tuple[Path, Any], graphs: str, count: int
) -> None:
    import torch

    path, module = network
    settings = {"parameters": {"cuda_graphs": graphs}} if graphs else {}
    backend = loaded(path, "torch", **settings)
    x = rows(count)
    (got,) = backend.run(Batch((x,), count))
    backend.close()
    with torch.inference_mode():
        np.testing.assert_allclose(got, module(torch.from_numpy(x)).numpy(), atol=ATOL)


def test_threads_share_graphs_and_get_their_own_answers(network: tuple[Path, Any]) -> None:
    backend = loaded(network[0], "torch", resources={"device": "cuda", "instances": 4})
    batches = [Batch((rows(5, seed),), 5) for seed in range(32)]
    alone = [backend.run(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = [outputs[0] for outputs in pool.map(backend.run, batches)]
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_engines_answer_as_cuda_within_and_beyond_their_sizes(tmp_path: Path) -> None:
    from optimize.steps.base import MODEL, Context
    from optimize.steps.tensorrt import TensorRt

    if TensorRt().unavailable():
        pytest.skip(TensorRt().unavailable())
    graph = onnx_models.mlp(tmp_path / "m" / "1" / MODEL)
    version = tmp_path / "m" / "2"
    version.mkdir()
    TensorRt().run(graph, version / MODEL, Context({"x": rows(8)}, batch_sizes=(1, 8)))
    plain, engines = (loaded(path, "onnxruntime") for path in (graph, version / MODEL))
    for count in (1, 5, 8, 20):
        batch = Batch((rows(count),), count)
        np.testing.assert_allclose(engines.run(batch)[0], plain.run(batch)[0], atol=ATOL)
