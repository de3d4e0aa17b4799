"""A model repository as Triton users have it, with every kind of model the protocol speaks of."""

from __future__ import annotations

from pathlib import Path

from onnx import helper

from serve.tensors import DATATYPES
from tests.support import onnx_models

LABELS = ("ash", "birch", "cedar", "dogwood")

SIMPLE = """
name: "simple"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [
  { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
  { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] }
]
output [
  { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
  { name: "OUTPUT1" data_type: TYPE_INT32 dims: [ 16 ] }
]
dynamic_batching { }
"""

SIMPLE_STRING = """
name: "simple_string"
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "text" data_type: TYPE_STRING dims: [ 2 ] } ]
output [ { name: "echo" data_type: TYPE_STRING dims: [ 2 ] } ]
"""

LABELLED = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt" } ]
"""

CREDIT = """
owner: risk
inputs:
  age: {range: [0, 150]}
  income: {default: 7.0}
"""


def write(folder: Path, name: str, text: str) -> None:
    """A text file; its folders are made."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def credit(path: Path) -> Path:
    """``age``, ``income`` FP32 [batch, 1] → ``score``, their sum."""
    shape = ["batch", 1]
    return onnx_models.save(
        path,
        [helper.make_node("Add", ["age", "income"], ["score"])],
        [onnx_models.value("age", "FP32", shape), onnx_models.value("income", "FP32", shape)],
        [onnx_models.value("score", "FP32", shape)],
    )


def triton_repository(root: Path) -> Path:
    """Fill ``root``; every model has the name that the tests call it by."""
    onnx_models.add_sub(root / "simple/1/model.onnx")
    write(root, "simple/config.pbtxt", SIMPLE)
    onnx_models.string_echo(root / "simple_string/1/model.onnx", columns=2)
    write(root, "simple_string/config.pbtxt", SIMPLE_STRING)
    onnx_models.add_sub(root / "unbatched/1/model.onnx", batched=False)
    for datatype in DATATYPES:
        onnx_models.identity(root / f"identity_{datatype}/1/model.onnx", datatype)
    onnx_models.mlp(root / "mlp/1/model.onnx")
    onnx_models.identity(root / "labelled/1/model.onnx")
    write(root, "labelled/config.pbtxt", LABELLED)
    write(root, "labelled/labels.txt", "\n".join(LABELS) + "\n")
    credit(root / "credit/1/model.onnx")
    write(root, "credit/model.yaml", CREDIT)
    onnx_models.identity(root / "two_versions/1/model.onnx")
    onnx_models.identity(root / "two_versions/2/model.onnx")
    write(root, "two_versions/model.yaml", "versions: {policy: all}\n")
    write(root, "broken/1/model.onnx", "this is no graph")
    return root
