"""Small ONNX models for tests and measurements, built in milliseconds with ``onnx.helper``.

Every function writes one file and returns its path. Unless it says otherwise, the first
dimension of every tensor is symbolic, so the models are batched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 10

ELEMENT_TYPES: Mapping[str, int] = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}

Shape = Sequence[int | str | None] | None


def value(name: str, datatype: str, shape: Shape) -> onnx.ValueInfoProto:
    """A graph input or output; a string is a symbolic dimension, a None shape is unknown."""
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[datatype], shape)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, npt.NDArray[np.generic]] | None = None,
    opset: int = OPSET,
) -> Path:
    """Write a graph as an ONNX file; parent folders are made."""
    constants = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def mlp(path: Path, features: int = 30, hidden: int = 64, seed: int = 0) -> Path:
    """``x`` FP32 [batch, features] → ``probability`` FP32 [batch, 1], two hidden layers."""
    rng = np.random.default_rng(seed)
    sizes = (features, hidden, hidden, 1)
    weights: dict[str, npt.NDArray[np.generic]] = {}
    nodes = []
    last = "x"
    for layer, (rows, columns) in enumerate(pairwise(sizes)):
        scale = np.sqrt(2.0 / rows)
        weights[f"w{layer}"] = (rng.standard_normal((rows, columns)) * scale).astype(np.float32)
        weights[f"b{layer}"] = np.zeros(columns, np.float32)
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"h{layer}"]))
        final = layer == len(sizes) - 2
        last = "probability" if final else f"a{layer}"
        nodes.append(helper.make_node("Sigmoid" if final else "Relu", [f"h{layer}"], [last]))
    return save(
        path,
        nodes,
        [value("x", "FP32", ["batch", features])],
        [value("probability", "FP32", ["batch", 1])],
        weights,
    )


def identity(path: Path, datatype: str = "FP32", shape: Shape = ("batch", 4)) -> Path:
    """``x`` → ``y``, the same tensor, of any datatype and shape."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", datatype, shape)],
        [value("y", datatype, shape)],
    )


def scaled(path: Path, factor: float) -> Path:
    """``x`` FP32 [batch, 1] → ``y``, so many times as much."""
    tensors = [value(name, "FP32", ["batch", 1]) for name in "xy"]
    weights = {"factor": np.array([factor], np.float32)}
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    return save(path, nodes, tensors[:1], tensors[1:], weights)


def add_sub(path: Path, datatype: str = "INT32", batched: bool = True) -> Path:
    """Triton's "simple": INPUT0, INPUT1 [batch, 16] → OUTPUT0 the sum, OUTPUT1 the difference."""
    shape: Shape = ["batch", 16] if batched else [16]
    return save(
        path,
        [
            helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
            helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
        ],
        [value("INPUT0", datatype, shape), value("INPUT1", datatype, shape)],
        [value("OUTPUT0", datatype, shape), value("OUTPUT1", datatype, shape)],
    )


def endless(path: Path) -> Path:
    """``x`` FP32 [batch, 4] → ``y``, which never comes: a loop of 2**62 turns."""
    shape = ["batch", 4]
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["still_more"]),
            helper.make_node("Neg", ["before"], ["after"]),
        ],
        "turn",
        [value("index", "INT64", []), value("more", "BOOL", []), value("before", "FP32", shape)],
        [value("still_more", "BOOL", []), value("after", "FP32", shape)],
    )
    return save(
        path,
        [helper.make_node("Loop", ["turns", "go_on", "x"], ["y"], body=turn)],
        [value("x", "FP32", shape)],
        [value("y", "FP32", shape)],
        {"turns": np.array(2**62), "go_on": np.array(True)},
    )


def string_echo(path: Path, columns: int = 1) -> Path:
    """``text`` BYTES [batch, columns] → ``echo`` BYTES, the same strings."""
    shape: Shape = ["batch", columns]
    return save(
        path,
        [helper.make_node("Identity", ["text"], ["echo"])],
        [value("text", "BYTES", shape)],
        [value("echo", "BYTES", shape)],
    )


def slow(path: Path, width: int = 256, steps: int = 20, seed: int = 0) -> Path:
    """``x`` FP32 [batch, width] → ``y``: ``steps`` matmuls of width × width, one after another.

    A row costs about ``2 · steps · width²`` floating-point operations, and a batch at least the
    reading of ``4 · steps · width²`` bytes of weights. On one core of a 2021 server the default
    takes 0.2 ms for 1 row and 1.3 ms for 64; ``width=1024, steps=24`` (100 MB) 4, 8 and 25 ms for
    1, 8 and 64 rows. No step can be folded into its neighbour: a Tanh is between.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, npt.NDArray[np.generic]] = {}
    nodes = []
    last = "x"
    for step in range(steps):
        array = rng.standard_normal((width, width)) / np.sqrt(width)
        weights[f"w{step}"] = array.astype(np.float32)
        nodes.append(helper.make_node("MatMul", [last, f"w{step}"], [f"m{step}"]))
        last = "y" if step == steps - 1 else f"t{step}"
        nodes.append(helper.make_node("Tanh", [f"m{step}"], [last]))
    shape: Shape = ["batch", width]
    return save(path, nodes, [value("x", "FP32", shape)], [value("y", "FP32", shape)], weights)


def slow_rows(path: Path, width: int = 64, multiplications: int = 100, seed: int = 0) -> Path:
    """``x`` FP32 [batch, width] → ``y``: a cost per row that no batch makes cheaper.

    Each row becomes a width × width matrix of its own that a Loop squares ``multiplications``
    times: a row of the default takes about 0.6 ms on one core, and n rows n times that.
    """
    rng = np.random.default_rng(seed)
    weight = (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state_in", "state_in"], ["square"]),
            helper.make_node("Tanh", ["square"], ["state_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [
            value("step", "INT64", []),
            value("go_in", "BOOL", []),
            value("state_in", "FP32", ["batch", width, width]),
        ],
        [value("go_out", "BOOL", []), value("state_out", "FP32", ["batch", width, width])],
    )
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "weight"], ["start"]),
        helper.make_node("Loop", ["count", "go", "start"], ["end"], body=body),
        helper.make_node("ReduceMean", ["end", "axis"], ["y"], keepdims=0),
    ]
    shape: Shape = ["batch", width]
    constants = {
        "axis": np.array([2], np.int64),
        "weight": weight,
        "count": np.array(multiplications, np.int64),
        "go": np.array(True),
    }
    return save(path, nodes, [value("x", "FP32", shape)], [value("y", "FP32", shape)], constants)


def convolutions(
    path: Path, channels: int = 32, pixels: int = 64, layers: int = 3, seed: int = 0
) -> Path:
    """``image`` FP32 [batch, 3, pixels, pixels] → ``features`` [batch, channels]."""
    rng = np.random.default_rng(seed)
    weights: dict[str, npt.NDArray[np.generic]] = {"axes": np.array([2, 3], np.int64)}
    nodes = []
    last = "image"
    for layer in range(layers):
        depth = 3 if layer == 0 else channels
        kernel = rng.standard_normal((channels, depth, 3, 3)) / np.sqrt(9 * depth)
        weights[f"w{layer}"] = kernel.astype(np.float32)
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1] * 4))
        last = f"r{layer}"
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [last]))
    nodes.append(helper.make_node("ReduceMean", [last, "axes"], ["features"], keepdims=0))
    return save(
        path,
        nodes,
        [value("image", "FP32", ["batch", 3, pixels, pixels])],
        [value("features", "FP32", ["batch", channels])],
        weights,
    )


def transformer(
    path: Path, width: int = 256, length: int = 64, layers: int = 4, seed: int = 0
) -> Path:
    """``x`` FP32 [batch, length, width] → ``y``, of single-head attention and feed-forward layers.

    No normalisation and no biases: the shape of the work is a transformer's, the answer nothing's.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, npt.NDArray[np.generic]] = {
        "scale": np.array(1 / np.sqrt(width), np.float32)
    }
    nodes = []

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def linear(source: str, name: str, rows: int, columns: int) -> str:
        array = rng.standard_normal((rows, columns)) / np.sqrt(rows)
        weights[f"w_{name}"] = array.astype(np.float32)
        return node("MatMul", [source, f"w_{name}"], name)

    last = "x"
    for i in range(layers):
        query, key, content = (linear(last, f"{part}{i}", width, width) for part in "qkv")
        turned = node("Transpose", [key], f"kt{i}", perm=[0, 2, 1])
        scaled = node("Mul", [node("MatMul", [query, turned], f"s{i}"), "scale"], f"sc{i}")
        weighting = node("Softmax", [scaled], f"p{i}", axis=-1)
        mixed = linear(node("MatMul", [weighting, content], f"a{i}"), f"o{i}", width, width)
        inner = node("Add", [last, mixed], f"x{i}")
        up = node("Relu", [linear(inner, f"up{i}", width, 4 * width)], f"act{i}")
        down = linear(up, f"down{i}", 4 * width, width)
        last = node("Add", [inner, down], "y" if i == layers - 1 else f"z{i}")
    shape: Shape = ["batch", length, width]
    return save(path, nodes, [value("x", "FP32", shape)], [value("y", "FP32", shape)], weights)


def attention(path: Path, size: int = 16, heads: int = 2, seed: int = 0) -> Path:
    """``x`` FP32 [batch, tokens, size] → ``y``, by the Attention operator of opset 23."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(0, size**-0.5, (size, size)).astype(np.float32) for name in ("q", "k", "v")
    }
    nodes = [helper.make_node("MatMul", ["x", name], [f"x{name}"]) for name in weights]
    nodes.append(
        helper.make_node(
            "Attention", ["xq", "xk", "xv"], ["y"], q_num_heads=heads, kv_num_heads=heads
        )
    )
    shape: Shape = ["batch", "tokens", size]
    return save(path, nodes, [value("x", "FP32", shape)], [value("y", "FP32", shape)], weights, 23)
