"""Figures of what runs on CPU and GPU; ``python -m tests.gpu.figures``.

Prints what it measures and, in a line each, what it cannot. Exit status 1 only if something that
could be run failed.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from serve.backends.base import BackendSource
from serve.backends.providers import CUDA
from serve.backends.registry import create_backend
from serve.backends.session_run import BoundRun, PlainRun
from serve.backends.warmup import warmup_batch
from serve.config import ModelConfig
from serve.tensors import Signature
from tests.gpu.absent import Absent, why_no_cuda
from tests.gpu.parts import PARTS
from tests.gpu.timing import ROWS, median_us
from tests.support import onnx_models

MODELS: dict[str, Callable[[Path], Path]] = {
    "mlp": onnx_models.mlp,
    "convolutions": lambda path: onnx_models.convolutions(path, channels=64, layers=8),
    "transformer": onnx_models.transformer,
}


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


def onnx_runtime(folder: Path) -> None:
    """ONNX Runtime on the CPU and, where it is there, on CUDA."""
    reason = why_no_cuda()
    latency_table(folder, ["cpu"] if reason else ["cpu", "cuda"])
    if reason:
        raise Absent(reason)
    copies_table()
    binding_table(folder)


def main() -> int:
    """Print all that can be measured here, and what cannot; 1 if anything failed."""
    import onnxruntime

    print(f"onnxruntime {onnxruntime.__version__}, {platform.machine()}, {sys.version.split()[0]}")
    not_run, failed = [], []
    with tempfile.TemporaryDirectory() as name:
        for part, run in {"ONNX Runtime on CUDA": onnx_runtime, **PARTS}.items():
            print(f"\n== {part}", flush=True)
            try:
                run(Path(name))
            except Absent as reason:
                not_run.append(f"{part}: {reason}")
            except Exception:
                traceback.print_exc()
                failed.append(part)
    print("\nnot run:" if not_run else "\neverything was run")
    for line in not_run:
        print(f"  {line}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
