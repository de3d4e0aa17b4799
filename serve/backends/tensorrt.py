"""TensorRT engines that were built beside a portable ``model.onnx``, and whether they fit here.

An engine is native code for one GPU, driver and pair of libraries, and for a range of shapes. So a
version holds the graph, which runs anywhere, and under ``compiled/<key>/`` what was built of it on
one kind of machine: an engine for each batch size, because the runtime's provider stays on the
first optimisation profile of an engine (onnxruntime #31624). Where the key is another one, or an
engine cannot be opened, the graph is served by CUDA, and a warning says why.

There are no precision flags: networks are strongly typed, and precision lives in the graph.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.backends.session_run import SessionRun
from serve.tensors import Array, TensorSpec

__all__ = [
    "COMPILED",
    "CONTEXT",
    "TARGET",
    "TENSORRT",
    "BatchClass",
    "ByRows",
    "Machine",
    "Target",
    "batch_classes",
    "engine_for",
    "gpu_facts",
    "provider_options",
    "this_machine",
]

TENSORRT = "TensorrtExecutionProvider"
COMPILED, TARGET, CONTEXT = "compiled", "target.json", "model_ctx.onnx"
TIMING = "timing"
"""Folder of the builder's timing cache, which makes building again quick."""

_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.11")
"""The newest that a runtime may be linked to comes last; the first that is there is the one."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """All that an engine depends on, beside the graph and the shapes."""

    gpu: str
    compute_capability: str
    driver: str
    tensorrt: str
    onnxruntime: str

    def key(self, model_sha256: str) -> str:
        """The name of the folder for engines of this graph on such machines."""
        text = json.dumps([asdict(self), model_sha256], sort_keys=True)
        gpu = re.sub(r"[^a-z0-9]+", "-", self.gpu.lower()).strip("-")
        short = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{gpu}-sm{self.compute_capability.replace('.', '')}-{short}"


class BatchClass(BaseModel):
    """One engine: shapes by input, and ``rows``, the largest batch that it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(ge=1)
    least: dict[str, Shape]
    best: dict[str, Shape]
    most: dict[str, Shape]

    @property
    def folder(self) -> str:
        """Its folder under the key's."""
        return f"rows-{self.rows}"


class Target(BaseModel):
    """``target.json``: what the engines beside it were built of, on and for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_sha256: str
    machine: dict[str, str]
    classes: tuple[BatchClass, ...] = Field(min_length=1)


class ByRows:
    """Runs a batch in the first engine whose shapes it is within; in ``plain`` if in none's."""

    def __init__(
        self,
        engines: Sequence[tuple[BatchClass, SessionRun]],
        inputs: Sequence[str],
        plain: SessionRun,
    ) -> None:
        self._engines = [
            ([(each.least[name], each.most[name]) for name in inputs], run)
            for each, run in sorted(engines, key=lambda engine: engine[0].rows)
        ]
        self._plain = plain

    def __call__(self, arrays: Sequence[Array], run_options: Any) -> list[Array]:
        """See ``SessionRun``. Engines have no arenas of the runtime's to trim."""
        for ranges, run in self._engines:
            if all(
                low <= size <= high
                for array, (least, most) in zip(arrays, ranges, strict=True)
                for size, low, high in zip(array.shape, least, most, strict=True)
            ):
                return run(arrays, None)
        return self._plain(arrays, run_options)


def batch_classes(
    inputs: Sequence[TensorSpec], batch_sizes: Sequence[int], lengths: Mapping[str, Shape]
) -> list[BatchClass]:
    """A class for each batch size, from just above the one before it.

    Args:
        lengths: By input, the largest shape of a row that is served; in the place of every
            dimension that varies within a row. The least of these is 1.
    """
    classes = []
    low = 1
    for rows in sorted(set(batch_sizes)):
        most = {spec.name: _shape(spec, rows, lengths) for spec in inputs}
        least = {
            spec.name: tuple(
                low if axis == 0 else 1 if size == -1 else size
                for axis, size in enumerate(spec.shape)
            )
            for spec in inputs
        }
        classes.append(BatchClass(rows=rows, least=least, best=most, most=most))
        low = rows + 1
    return classes


def provider_options(folder: Path, each: BatchClass, device_index: int) -> dict[str, str]:
    """What the TensorRT provider is told for one class, when building and when serving alike."""
    return {
        "device_id": str(device_index),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder / each.folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder / TIMING),
        # Without these every new shape would build the engine again, for minutes.
        "trt_profile_min_shapes": _joined(each.least),
        "trt_profile_opt_shapes": _joined(each.best),
        "trt_profile_max_shapes": _joined(each.most),
    }


def engine_for(
    version: Path,
    model_sha256: Callable[[], str],
    machine: Callable[[], Machine | str],
    providers: Sequence[str],
    verified: bool,
) -> tuple[Path, Target] | str:
    """The folder of engines for this machine and what is in it; or why there is none, "" if none
    was ever built.

    Args:
        machine: Gives the machine, or what of it is absent.
        verified: Whether a manifest vouches for every file; engines are native code.
    """
    compiled = version / COMPILED
    if not compiled.is_dir():
        return ""
    if TENSORRT not in providers:
        return "the installed onnxruntime has no TensorRT provider"
    if not verified:
        return "no manifest vouches for the engines, which are native code"
    here = machine()
    if isinstance(here, str):
        return here
    sha256 = model_sha256()
    folder = compiled / here.key(sha256)
    if not folder.is_dir():
        return _difference(compiled, here, sha256)
    try:
        target = Target.model_validate_json((folder / TARGET).read_text())
    except (OSError, ValidationError) as error:
        return f"{folder / TARGET} cannot be read: {str(error).splitlines()[0]}"
    return folder, target


def this_machine(
    index: int,
    onnxruntime_version: str,
    ask: Callable[..., Any] = subprocess.run,
    library: Callable[[str], Any] = ctypes.CDLL,
) -> Machine | str:
    """The GPU with this number and the libraries for it, or what is absent."""
    facts = gpu_facts(index, ask)
    if isinstance(facts, str):
        return facts
    for name in _LIBRARIES:
        try:
            version = int(library(name).getInferLibVersion())
        except OSError:
            continue
        return Machine(*facts, str(version), onnxruntime_version)
    return f"TensorRT is not installed ({_LIBRARIES[0]} is not found)"


def gpu_facts(index: int, ask: Callable[..., Any] = subprocess.run) -> tuple[str, str, str] | str:
    """Name, compute capability and driver of a GPU, or why they cannot be told."""
    try:
        found = ask(
            [
                "nvidia-smi",
                f"--id={index}",
                "--query-gpu=name,compute_cap,driver_version",
                "--format=csv,noheader",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi does not tell the GPU: {error}"
    fields = [field.strip() for field in found.stdout.strip().split(",")]
    if len(fields) != 3:
        return f"nvidia-smi does not tell the GPU: {found.stdout.strip()[:100]}"
    return fields[0], fields[1], fields[2]


def _shape(spec: TensorSpec, rows: int, lengths: Mapping[str, Shape]) -> Shape:
    longest = lengths.get(spec.name, ())
    sizes = []
    for axis, size in enumerate(spec.shape):
        if axis == 0:
            sizes.append(rows)
        elif size != -1:
            sizes.append(size)
        else:
            sizes.append(longest[axis - 1] if len(longest) >= axis else 1)
    return tuple(sizes)


def _joined(shapes: Mapping[str, Shape]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _difference(compiled: Path, here: Machine, sha256: str) -> str:
    """In what the machine differs from the one that engines were built on."""
    for path in sorted(compiled.glob(f"*/{TARGET}")):
        try:
            built = Target.model_validate_json(path.read_text())
        except (OSError, ValidationError):
            continue
        if built.model_sha256 != sha256:
            return "the engines were built of another model.onnx"
        other = [
            f"{name} {built.machine.get(name)} (here {value})"
            for name, value in asdict(here).items()
            if built.machine.get(name) != value
        ]
        if other:
            return f"the engines were built for {', '.join(other)}"
    return f"there are no engines in {compiled}"
