"""Figures of the ONNX Runtime backend on CPU and CUDA; ``python -m tests.gpu.figures``.

Prints what it measures and, in a line each, what it cannot. Exit status 1 only if a CUDA path
that should work failed.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from serve.backends.base import BackendSource
from serve.backends.providers import CUDA, nvidia_device_present
from serve.backends.registry import create_backend
from serve.backends.session_run import BoundRun, PlainRun
from serve.backends.warmup import warmup_batch
from serve.config import ModelConfig
from serve.errors import PenstockError
from serve.tensors import Signature
from tests.support import onnx_models

MODELS: dict[str, Callable[[Path], Path]] = {
    "mlp": onnx_models.mlp,
    "convolutions": lambda path: onnx_models.convolutions(path, channels=64, layers=8),
    "transformer": onnx_models.transformer,
}
ROWS = (1, 8, 32, 128)
SECONDS = 0.5


def why_no_cuda() -> str:
    """What keeps CUDA from being tried here; empty if nothing does."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return "the installed onnxruntime is built without CUDA (it needs onnxruntime-gpu)"
    return "" if nvidia_device_present() else "no NVIDIA GPU is visible to this process"


def median_us(call: Callable[[], object]) -> float:
    """Median time of a call, over about half a second and at least 5 calls, after 3 unmeasured."""
    for _ in range(3):
        call()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


def backend_on(device: str, path: Path) -> tuple[Any, Signature, ModelConfig]:
    """A loaded backend, its signature and its settings."""
    config = ModelConfig.model_validate({"resources": {"device": device}})
    backend = create_backend("onnxruntime")
    source = BackendSource(path.stem, 1, path.parent.parent, path, config)
    return backend, backend.load(source), config


def latency_table(folder: Path, devices: list[str]) -> None:
    """Latency of a batch through the whole backend, by model, device and rows."""
    print("\nbackend.run, median µs of a batch")
    print(f"{'model':14}{'device':8}" + "".join(f"{f'{rows} rows':>12}" for rows in ROWS))
    for name, build in MODELS.items():
        path = build(folder / name / "1" / "model.onnx")
        for device in devices:
            backend, signature, config = backend_on(device, path)
            cells = []
            for rows in ROWS:
                batch = warmup_batch(signature, config, rows)
                cells.append(median_us(partial(backend.run, batch)))
            backend.close()
            print(f"{name:14}{device:8}" + "".join(f"{cell:12,.0f}" for cell in cells))


def copies_table() -> None:
    """Host to device, by size, from ordinary memory."""
    import onnxruntime

    print("\nhost to device copy (OrtValue), median")
    for kilobytes in (4, 64, 1024, 16 * 1024):
        array = np.zeros(kilobytes * 256, np.float32)
        took = median_us(partial(onnxruntime.OrtValue.ortvalue_from_numpy, array, "cuda", 0))
        print(f"  {kilobytes:8,} KiB {took:10,.1f} µs {kilobytes / 1024 / took * 1e6:10,.0f} MiB/s")


def binding_table(folder: Path) -> None:
    """IO binding against the plain call, in one session each."""
    import onnxruntime

    print("\nCUDA: IO binding against session.run, median µs of a batch")
    for name in MODELS:
        path = folder / name / "1" / "model.onnx"
        backend, signature, config = backend_on("cpu", path)
        backend.close()
        session = onnxruntime.InferenceSession(str(path), providers=[CUDA], enable_fallback=0)
        plain_run, bound_run = PlainRun(session, signature), BoundRun(session, signature)
        for rows in ROWS:
            arrays = warmup_batch(signature, config, rows).inputs
            plain = median_us(partial(plain_run, arrays, None))
            bound = median_us(partial(bound_run, arrays, None))
            print(f"  {name:14}{rows:4} rows  plain {plain:12,.0f}  bound {bound:12,.0f}")


def main() -> int:
    """Print all that can be measured here."""
    import onnxruntime

    print(f"onnxruntime {onnxruntime.__version__}, {platform.machine()}, {sys.version.split()[0]}")
    reason = why_no_cuda()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        latency_table(folder, ["cpu"] if reason else ["cpu", "cuda"])
        if reason:
            print(f"\nnot run: anything on CUDA: {reason}")
            return 0
        copies_table()
        binding_table(folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PenstockError as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(1)
