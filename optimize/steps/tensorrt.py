"""``tensorrt``: engines for each batch size beside the graph, which stays as it is.

The network is strongly typed: precision is what the graph says, so a step before this one (`cast`,
`quantize-static`) decides it, and there are no precision flags, which TensorRT 11 has not either.
Engines are made by ONNX Runtime's own provider, the one that will run them, as EP contexts.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from optimize.errors import OptimizeError
from optimize.steps.base import Context, Step
from serve.backends.providers import nvidia_device_present
from serve.backends.tensorrt import (
    COMPILED,
    CONTEXT,
    TARGET,
    TENSORRT,
    BatchClass,
    Machine,
    Target,
    batch_classes,
    provider_options,
    this_machine,
)
from serve.repository.manifest import file_sha256
from serve.tensors import Array, TensorSpec

__all__ = ["TensorRt"]


class TensorRt(Step):
    """TensorRT engines for this GPU, driver and libraries; elsewhere the graph itself is served."""

    kind: ClassVar[str] = "tensorrt"
    shaped: ClassVar[bool] = True

    builder_level: int = Field(
        3, ge=0, le=5, description="How long the builder looks for better kernels."
    )

    def unavailable(self) -> str:
        """See ``Step``."""
        if importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed"
        import onnxruntime

        if TENSORRT not in onnxruntime.get_available_providers():
            return "the installed onnxruntime has no TensorRT provider (it needs onnxruntime-gpu)"
        if not nvidia_device_present():
            return "no NVIDIA GPU is visible to this process"
        machine = this_machine(0, onnxruntime.__version__)
        return machine if isinstance(machine, str) else ""

    def target_key(self) -> str:
        """See ``Step``."""
        import onnxruntime

        machine = this_machine(0, onnxruntime.__version__)
        return machine if isinstance(machine, str) else str(sorted(asdict(machine).items()))

    def run(self, source: Path, target: Path, context: Context) -> None:
        """See ``Step``. Takes minutes for each batch size."""
        import onnxruntime

        machine = this_machine(0, onnxruntime.__version__)
        if isinstance(machine, str):
            raise _failed(machine, "install what it names, or leave tensorrt out of optimize.steps")
        for file in source.parent.glob(f"{source.name}*"):  # with the weights beside it, if any
            shutil.copyfile(file, target.parent / file.name)
        build(target, machine, context, self.builder_level)


def build(model: Path, machine: Machine, context: Context, builder_level: int) -> Path:
    """Build the engines of ``model`` into ``compiled/`` beside it; returns their folder."""
    import onnxruntime

    sha256 = file_sha256(model)
    folder = model.parent / COMPILED / machine.key(sha256)
    inputs = _inputs(model)
    lengths = {name: array.shape[1:] for name, array in context.calibration.items()}
    classes = batch_classes(inputs, context.batch_sizes or (1,), lengths)
    for each in classes:
        (folder / each.folder).mkdir(parents=True)
        given = {
            **provider_options(folder, each, 0),
            "trt_builder_optimization_level": str(builder_level),
        }
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("ep.context_enable", "1")
        options.add_session_config_entry("ep.context_embed_mode", "0")
        options.add_session_config_entry(
            "ep.context_file_path", str(folder / each.folder / CONTEXT)
        )
        try:
            session = onnxruntime.InferenceSession(
                str(model), options, providers=[(TENSORRT, given), "CUDAExecutionProvider"]
            )
            session.run(None, rows_of(context.calibration, each))
        except Exception as error:
            raise _failed(
                f"the engine for {each.rows} rows: {' '.join(str(error).split())[:300]}",
                "see what the builder said in the step's log.txt, give it fewer batch sizes, or"
                " leave tensorrt out of optimize.steps",
            ) from error
        if session.get_providers()[0] != TENSORRT or not (folder / each.folder / CONTEXT).is_file():
            raise _failed(
                f"the provider made no engine for {each.rows} rows",
                "see the step's log.txt: a library may be missing, or no operator be supported",
            )
    described = Target(model_sha256=sha256, machine=asdict(machine), classes=tuple(classes))
    (folder / TARGET).write_text(described.model_dump_json(indent=1))
    return folder


def rows_of(arrays: dict[str, Array], each: BatchClass) -> dict[str, Array]:
    """Real rows of the class's largest shapes, again and again if there are too few."""
    return {
        name: np.ascontiguousarray(np.resize(arrays[name], most)).astype(arrays[name].dtype)
        for name, most in each.most.items()
    }


def _inputs(model: Path) -> list[TensorSpec]:
    import onnx

    made = []
    for value in onnx.load(model, load_external_data=False).graph.input:
        dims = value.type.tensor_type.shape.dim
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)
        made.append(TensorSpec(value.name, "", shape))
    return made


def _failed(problem: str, remedy: str) -> OptimizeError:
    return OptimizeError(step=TensorRt.kind, problem=problem, remedy=remedy)
