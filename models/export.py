"""What the training scripts share: finish an ONNX graph, prove it right, publish a version."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

__all__ = ["ParityError", "finish", "publish", "run", "verify"]

Array = npt.NDArray[Any]

OPSET = 18
ML_OPSET = 3
# What runtimes of the last two years read; the onnx package's own default is often too new.
IR_VERSION = 9
BATCH = "batch"


class ParityError(Exception):
    """The exported graph does not answer as the trained pipeline does."""


def finish(
    model: onnx.ModelProto,
    tail: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    outputs: Mapping[str, tuple[int, tuple[int, ...]]],
) -> bytes:
    """Give a converted graph its public outputs and a named batch dimension; return its bytes.

    Args:
        model: what the converter made; changed in place.
        tail: nodes to append, from the converter's outputs to the public ones.
        constants: by name, what the tail needs.
        outputs: by name, the ONNX element type and the shape of one row; they replace the
            converter's.
    """
    graph = model.graph
    graph.node.extend(tail)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    del graph.output[:]
    graph.output.extend(
        onnx.helper.make_tensor_value_info(name, element_type, [BATCH, *row])
        for name, (element_type, row) in outputs.items()
    )
    for value in graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    _prune(graph)
    # The converter's guesses about inner tensors are not needed, and may contradict the names.
    del graph.value_info[:]
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _prune(graph: onnx.GraphProto) -> None:
    """Drop what no output needs any longer."""
    needed = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)
    for constant in list(graph.initializer):
        if constant.name not in needed:
            graph.initializer.remove(constant)


def run(model: bytes, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of the graph, by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def verify(
    model: bytes,
    inputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    tolerance: float = 1e-5,
) -> float:
    """Compare the graph's outputs with the pipeline's; return the largest difference.

    Raises:
        ParityError: a shape differs, or a value by more than the tolerance.
    """
    actual = run(model, inputs)
    largest = 0.0
    for name, wanted in expected.items():
        got = actual[name]
        if got.shape != wanted.shape:
            raise ParityError(f"{name}: shape {got.shape}, the pipeline gives {wanted.shape}")
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
        worst = float(difference.max(initial=0.0))
        if not worst <= tolerance:  # NaN is no agreement
            rows = int((~(difference.reshape(len(got), -1) <= tolerance)).any(axis=1).sum())
            raise ParityError(
                f"{name}: {rows} of {len(got)} rows differ from the pipeline, by up to {worst:.3g};"
                f" {tolerance:g} is allowed"
            )
        largest = max(largest, worst)
    return largest


def publish(version: Path, model: bytes, metrics: Mapping[str, Any]) -> None:
    """Write ``model.onnx`` and ``metrics.json`` as a version folder.

    A reader sees the folder whole or not at all; where it exists, each file is replaced whole.
    """
    staging = version.parent / f".{version.name}.{os.getpid()}"
    staging.mkdir(parents=True)
    try:
        (staging / "metrics.json").write_text(json.dumps(dict(metrics), indent=2) + "\n")
        (staging / "model.onnx").write_bytes(model)
        try:
            staging.rename(version)
        except OSError:
            if not version.is_dir():
                raise
            for name in ("metrics.json", "model.onnx"):
                (staging / name).replace(version / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
