"""What ``tests.gpu.figures`` tries one after another; a part that cannot be tried says why."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.backends.base import BackendSource
from serve.backends.registry import create_backend
from serve.backends.warmup import warmup_batch
from serve.clock import monotonic_ns
from serve.config import ModelConfig
from serve.tensors import Array, Batch
from tests.gpu.absent import Absent, why_no_cuda
from tests.gpu.timing import ROWS, median_us
from tests.support import onnx_models

__all__ = ["PARTS"]

ROOT = Path(__file__).parents[2]
CHANNELS, LAYERS = 64, 8
FP16_ATOL = 5e-2
"""Of an output of a few units through eight convolutions."""


def _need(reason: str) -> None:
    if reason:
        raise Absent(reason)


def _table(name: str, run: Callable[[Batch], Any], batch: Callable[[int], Batch]) -> None:
    cells = [median_us(partial(run, batch(rows))) for rows in ROWS]
    print(f"  {name:34}" + "".join(f"{cell:12,.0f}" for cell in cells))


def _head(what: str) -> None:
    print(f"{what}, median µs of a batch\n  {'':34}" + "".join(f"{f'{n} rows':>12}" for n in ROWS))


def _load(path: Path, device: str = "auto", **settings: Any) -> tuple[Any, Any, ModelConfig]:
    config = ModelConfig.model_validate({"resources": {"device": device}, **settings})
    kind = "torch" if path.suffix == ".pt2" else "onnxruntime"
    backend = create_backend(kind)
    source = BackendSource(path.stem, 1, path.parent.parent, path, config, verified=True)
    return backend, backend.load(source), config


def _cnn(folder: Path) -> Path:
    path = folder / "cnn" / "1" / "model.onnx"
    return path if path.exists() else onnx_models.convolutions(path, CHANNELS, layers=LAYERS)


def fp16(folder: Path) -> None:
    """A CNN cast to FP16, beside itself in FP32."""
    _need(why_no_cuda())
    from optimize.steps import Cast
    from optimize.steps.base import Context

    cast = folder / "cnn16" / "1" / "model.onnx"
    cast.parent.mkdir(parents=True)
    Cast(precision="fp16", compute=True).run(_cnn(folder), cast, Context({}))
    _head("a CNN on CUDA")
    answers = []
    for name, path in (("FP32", _cnn(folder)), ("FP16", cast)):
        backend, signature, config = _load(path, "cuda")
        _table(name, backend.run, partial(warmup_batch, signature, config))
        rng = np.random.default_rng(0)
        shape = (4, *signature.inputs[0].shape[1:])
        answers.append(backend.run(Batch((rng.standard_normal(shape).astype(np.float32),), 4))[0])
        backend.close()
    apart = float(np.abs(answers[0] - answers[1].astype(np.float32)).max())
    print(f"  largest difference {apart:.2g}")
    assert apart < FP16_ATOL, f"FP16 answers are {apart:.3g} from those of FP32"


def _compiled(folder: Path, device: str) -> tuple[Path, Callable[[Array], Array]]:
    """A CNN as ``model.pt2``, and the module itself as a function."""
    try:
        import torch
    except ImportError as error:
        raise Absent("torch is not installed (pip install 'penstock[torch]')") from error
    from optimize.steps.aot_inductor import AotInductor
    from optimize.steps.base import Context

    step = AotInductor.model_validate({"device": device})
    _need(step.unavailable())
    version = folder / f"cnn-{device}" / "1"
    torch.manual_seed(0)
    layers: list[Any] = [torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.ReLU()]
    for _ in range(3):
        layers += [torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(32 * 256, 10)).eval()
    example = (torch.zeros(3, 3, 16, 16),)
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
    if not version.exists():
        version.mkdir(parents=True)
        torch.export.save(program, version / "program.pt2")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(version))
            patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(version / "inductor"))
            step.run(version / "program.pt2", version / "model.pt2", Context({}))

    def eager(x: Array) -> Array:
        with torch.inference_mode():
            answer: Array = module(torch.from_numpy(x)).numpy()
            return answer

    return version / "model.pt2", eager


def _pt2(folder: Path, device: str, *ways: str) -> None:
    path, eager = _compiled(folder, device)
    _head(f"a CNN compiled by AOTInductor for {device}")
    x = np.random.default_rng(0).standard_normal((128, 3, 16, 16)).astype(np.float32)
    for way in ways:
        backend, _, _ = _load(path, device, parameters={"cuda_graphs": way} if way else {})
        for rows in (1, 5, 128):
            (got,) = backend.run(Batch((x[:rows],), rows))
            np.testing.assert_allclose(got, eager(x[:rows]), atol=5e-3)
        name = {"": "plain" if device == "cpu" else "CUDA graphs", "off": "op by op"}[way]
        _table(name, backend.run, lambda rows: Batch((x[:rows],), rows))
        backend.close()


def pt2_on_cpu(folder: Path) -> None:
    """AOTInductor on the CPU."""
    _pt2(folder, "cpu", "")


def pt2_on_cuda(folder: Path) -> None:
    """AOTInductor on CUDA, through CUDA graphs and op by op."""
    _pt2(folder, "cuda", "", "off")


def tensorrt(folder: Path) -> None:
    """Engines for three batch sizes, beside CUDA."""
    from optimize.steps.base import Context
    from optimize.steps.tensorrt import TensorRt

    _need(TensorRt().unavailable())
    backend, signature, config = _load(_cnn(folder), "cuda")
    _head("a CNN")
    _table("CUDA", backend.run, partial(warmup_batch, signature, config))
    rows = warmup_batch(signature, config, max(ROWS)).inputs[0]
    (plain,) = backend.run(Batch((rows,), len(rows)))
    version = folder / "cnn-trt" / "1"
    version.mkdir(parents=True)
    context = Context({signature.inputs[0].name: rows}, batch_sizes=ROWS)
    TensorRt().run(_cnn(folder), version / "model.onnx", context)
    engines, _, _ = _load(version / "model.onnx", "cuda")
    _table("TensorRT", engines.run, partial(warmup_batch, signature, config))
    (got,) = engines.run(Batch((rows,), len(rows)))
    np.testing.assert_allclose(got, plain, atol=5e-2)


def batch_profile(folder: Path) -> None:
    """What the server would measure of a CNN and of MiniLM before it takes requests."""
    from serve.executors.loader import prepare
    from serve.repository.scan import scan_model

    models = [_cnn(folder).parents[1], ROOT / "models" / "digits", ROOT / "models" / "minilm"]
    print("batch profile as measured at load: rows: µs")
    absent = []
    for model in models:
        try:
            entry = scan_model(model)
        except Exception as error:
            absent.append(f"{model.name} has no version that can be served ({error})")
            continue
        version = entry.versions[-1]
        source = BackendSource(model.name, version.number, model, version.artefact, entry.config)
        ready = prepare(source, monotonic_ns)
        cells = [f"{rows}: {took / 1000:,.0f}" for rows, took in sorted(ready.profile.items())]
        print(f"  {model.name:10}{'; '.join(cells)}")
        ready.backend.close()
    _need("; ".join(absent))


def served(folder: Path) -> None:
    """The CNN, and what was compiled of it, asked over HTTP; the answers are the backend's own."""
    try:
        from tests.support.running import running
    except ImportError as error:
        raise Absent(f"the server's own dependencies: {error}") from error
    repository = folder / "repository"
    names = [path.parents[1] for path in folder.glob("cnn*/1/model.*") if path.suffix != ".json"]
    for model in dict.fromkeys(names):
        shutil.copytree(model, repository / model.name, dirs_exist_ok=True)
        settings = "trust_native_code: true\n"
        (repository / model.name / "model.yaml").write_text(settings)
    print("over HTTP, one row a request, median µs")
    with ExitStack() as stack:
        server = stack.enter_context(running(repository))
        for model in sorted(repository.iterdir()):
            path = next(
                model / "1" / name
                for name in ("model.onnx", "model.pt2")
                if (model / "1" / name).exists()
            )
            backend, signature, config = _load(path, trust_native_code=True)
            batch = warmup_batch(signature, config, 1)
            (wanted, *_) = backend.run(batch)
            backend.close()
            spec, array = signature.inputs[0], batch.inputs[0]
            body = {
                "inputs": [
                    {
                        "name": spec.name,
                        "datatype": spec.datatype,
                        "shape": list(array.shape),
                        "data": array.ravel().tolist(),
                    }
                ]
            }
            url = f"http://{server.http}/v2/models/{model.name}/infer"
            ask = partial(_ask, url, json.dumps(body).encode())
            got = np.array(ask()["outputs"][0]["data"], np.float32)
            np.testing.assert_allclose(got, wanted.ravel(), atol=5e-3)
            print(f"  {model.name:14}{median_us(ask):12,.0f}")


def _ask(url: str, body: bytes) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as reply:
        return json.load(reply)


PARTS: dict[str, Callable[[Path], None]] = {
    "FP16 on CUDA": fp16,
    "AOTInductor on the CPU": pt2_on_cpu,
    "AOTInductor and CUDA graphs on CUDA": pt2_on_cuda,
    "TensorRT": tensorrt,
    "batch profile": batch_profile,
    "served over HTTP": served,
}
