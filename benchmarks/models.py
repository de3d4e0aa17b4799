"""The models that are benchmarked, built with ``onnx.helper`` in a moment, as a repository.

All are batched, take ``x`` FP32 and give ``probability`` FP32 [batch, 1]; weights are fixed by a
seed, so that two builds are the same file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FEATURES = 30
HEAVY_FEATURES = 64
LARGE_ELEMENTS = 4 * 1024 * 1024  # 16 MiB of FP32
PICTURE_ELEMENTS = 3 * 224 * 224  # a batch of 32 is 19.3 MB
SLO_MS = 100.0
_OPSET, _IR_VERSION = 20, 10

Weights = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """A model as a folder of a repository."""

    name: str
    build: Callable[[Path], None]
    settings: str

    def write(self, repository: Path) -> Path:
        """Write the model's folder into ``repository``; returns the path of the ONNX file."""
        artefact = repository / self.name / "1" / "model.onnx"
        artefact.parent.mkdir(parents=True, exist_ok=True)
        self.build(artefact)
        (repository / self.name / "model.yaml").write_text(self.settings)
        return artefact


def _save(path: Path, nodes: Sequence[onnx.NodeProto], features: int, weights: Weights) -> None:
    graph = helper.make_graph(
        nodes,
        path.parent.parent.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", features])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION), path)


def _mlp(path: Path, sizes: Sequence[int], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    weights: dict[str, npt.NDArray[np.generic]] = {}
    nodes = []
    last = "x"
    for layer, (rows, columns) in enumerate(pairwise(sizes)):
        scale = np.float32(np.sqrt(2.0 / rows))
        weights[f"w{layer}"] = rng.standard_normal((rows, columns), np.float32) * scale
        weights[f"b{layer}"] = np.zeros(columns, np.float32)
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"h{layer}"]))
        final = layer == len(sizes) - 2
        last = "probability" if final else f"a{layer}"
        nodes.append(helper.make_node("Sigmoid" if final else "Relu", [f"h{layer}"], [last]))
    _save(path, nodes, sizes[0], weights)


def build_small(path: Path, seed: int = 0) -> None:
    """30 → 64 → 32 → 1: a batch of 64 takes some 20 µs, so only the server's cost is seen."""
    _mlp(path, (FEATURES, 64, 32, 1), seed)


def build_release(path: Path, number: int, shift: float = 0.0) -> None:
    """``build_small`` as another version has it: by 0.1 % × ``number`` lower, so that its answers
    are told from others', and hardly anybody minds; ``shift`` is added to the log-odds."""
    build_small(path)
    model = onnx.load(path)
    weights = {"shift": np.float32(shift), "factor": np.float32(1 - number / 1000)}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array([value]), name) for name, value in weights.items()
    )
    sigmoid = model.graph.node.pop()
    model.graph.node.extend(
        [
            helper.make_node("Add", [sigmoid.input[0], "shift"], ["odds"]),
            helper.make_node("Sigmoid", ["odds"], ["scored"]),
            helper.make_node("Mul", ["scored", "factor"], ["probability"]),
        ]
    )
    onnx.save(model, path)


def build_picture(path: Path) -> None:
    """A row is a picture of 602 KB of FP32, of which one number is read: only moving it costs."""
    weights = {"first": np.array([0], np.int64)}
    nodes = [
        helper.make_node("Gather", ["x", "first"], ["corner"], axis=1),
        helper.make_node("Sigmoid", ["corner"], ["probability"]),
    ]
    _save(path, nodes, PICTURE_ELEMENTS, weights)


def build_heavy(path: Path) -> None:
    """34 MB of weights, read once a batch: a row alone costs ten times a row of a large one."""
    _mlp(path, (HEAVY_FEATURES, 2048, 2048, 2048, 1))


def build_large(path: Path) -> None:
    """One row is 16 MiB, and is averaged: the model's own cost is one pass over it."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sigmoid", ["mean"], ["probability"]),
    ]
    _save(path, nodes, LARGE_ELEMENTS, {"axes": np.array([1], np.int64)})


def _steady(path: Path, depth: int) -> None:
    """``depth`` products of a row's own 64×64 matrix with a fixed one."""
    side = 64
    rng = np.random.default_rng(0)
    weights = {
        "w_in": rng.standard_normal((FEATURES, side), np.float32) / np.float32(side),
        "spread": rng.standard_normal((1, side, side), np.float32),
        "axis": np.array([2], np.int64),
        "axes": np.array([1, 2], np.int64),
        "shape": np.array([-1, 1], np.int64),
        "w": rng.standard_normal((side, side), np.float32) * np.float32(2 / np.sqrt(side)),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w_in"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "spread"], ["m0"]),
    ]
    for layer in range(depth):
        nodes.append(helper.make_node("MatMul", [f"m{layer}", "w"], [f"p{layer}"]))
        # Bounded, with a gain: values neither grow nor fade, and faded ones (subnormal) are slow.
        nodes.append(helper.make_node("Tanh", [f"p{layer}"], [f"m{layer + 1}"]))
    nodes += [
        helper.make_node("ReduceMean", [f"m{depth}", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sigmoid", ["mean"], ["scored"]),
        helper.make_node("Reshape", ["scored", "shape"], ["probability"]),
    ]
    _save(path, nodes, FEATURES, weights)


def build_steady(path: Path, row_ms: float = 1.0, trial_depth: int = 32) -> None:
    """About ``row_ms`` a row on one core of this machine, whatever the batch.

    A row is a matrix of its own already, so that a batch saves nothing. How deep the graph has to
    be is measured, since a fixed depth would be another rate on every machine.
    """
    _steady(path, trial_depth)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    feed = {"x": np.ones((16, FEATURES), np.float32)}
    session.run(None, feed)
    best_s = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        session.run(None, feed)
        best_s = min(best_s, time.perf_counter() - start)
    _steady(path, max(1, round(trial_depth * row_ms / (best_s / 16 * 1e3))))


SMALL = BenchmarkModel(
    "small",
    build_small,
    f"batching: {{max_batch_size: 256}}\nslo: {{latency_ms: {SLO_MS}}}\n",
)
DIVIDED = BenchmarkModel(
    "divided", build_small, f"{SMALL.settings}labels: {{stable: 1, canary: 2}}\n"
)
"""``SMALL`` with a second version, to which somebody else gives a share."""
RELEASED = BenchmarkModel(
    "released",
    build_small,
    f"{SMALL.settings}versions: {{policy: specific, numbers: [1]}}\nlabels: {{stable: 1}}\n"
    f"inputs: {{x: {{datatype: FP32, shape: [-1, {FEATURES}]}}}}\n"
    "outputs: {probability: {datatype: FP32, shape: [-1, 1]}}\n",
)
"""``SMALL`` whose versions take over as somebody says, those in Python as well."""
PAIR = BenchmarkModel("pair", build_small, f"{SMALL.settings}autoscaling: {{min_replicas: 2}}\n")
"""``SMALL`` with a second replica on servers that have such."""
KEPT = BenchmarkModel("kept", build_small, f"{SMALL.settings}cache: {{}}\n")
"""``SMALL`` with a response cache."""
HEAVY = BenchmarkModel(
    "heavy",
    build_heavy,
    f"batching: {{max_batch_size: 256}}\nslo: {{latency_ms: {SLO_MS}}}\n",
)
STEADY = BenchmarkModel(
    "steady",
    build_steady,
    # One thread, so that its capacity is one core's and the other is left for the sockets.
    "batching: {max_batch_size: 32}\n"
    f"slo: {{latency_ms: {SLO_MS}}}\n"
    "resources: {instances: 1, intra_op_threads: 1}\n",
)
ELASTIC = BenchmarkModel(
    "elastic",
    partial(build_steady, row_ms=0.5),
    f"{STEADY.settings}"
    "autoscaling: {min_replicas: 1, max_replicas: 2, target_utilisation: 0.4,\n"
    "  upscale_delay_s: 2, downscale_delay_s: 4, look_back_s: 2}\n",
)
"""2,000 rows a second on one core, and another replica where a server can have more of them."""
PICTURE = BenchmarkModel("picture", build_picture, "batching: {max_batch_size: 32}\n")
LARGE = BenchmarkModel(
    "large",
    build_large,
    # Not warmed up, so that the first request finds the memory of an idle server.
    "batching: {max_batch_size: 1}\nwarmup: {budget_ms: 0}\n",
)
