from __future__ import annotations

import lightgbm
import numpy as np
import onnx

from optimize.convert.thresholds import lightgbm_thresholds, round_thresholds_down
from optimize.convert.trained import convert
from optimize.rows import Input
from optimize.source.original import Original
from optimize.source.table import inputs_of, rows_of
from optimize.verify.edge_rows import boundary_rows


def booster() -> tuple[lightgbm.Booster, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 1, (500, 3)).astype(np.float64)
    data = lightgbm.Dataset(rows, (rows[:, 0] > rows[:, 1]).astype(float))
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    return lightgbm.train(parameters, data, 10), rows.astype(np.float32)


def test_no_threshold_of_a_converted_graph_is_above_the_trained_one() -> None:
    model, rows = booster()
    graph = onnx.load_from_string(convert(model, inputs_of(model, rows)))
    exact = lightgbm_thresholds(model)
    assert round_thresholds_down(graph, exact) == 0
    (trees,) = [node for node in graph.graph.node if node.op_type.startswith("TreeEnsemble")]
    values = next(each.floats for each in trees.attribute if each.name == "nodes_values")
    modes = next(each.strings for each in trees.attribute if each.name == "nodes_modes")
    used = [value for value, mode in zip(values, modes, strict=True) if mode != b"LEAF"]
    for value in used:
        above = [one for one in exact if np.float32(one) >= np.float32(value)]
        assert value <= min(above, key=lambda one: abs(one - value))


def test_boundary_rows_are_neighbours_on_either_side_of_a_split() -> None:
    model, rows = booster()
    inputs: tuple[Input, ...] = inputs_of(model, rows)
    original = Original(model, inputs, rows)
    found, labels, _ = boundary_rows(original.answer, rows_of(rows, inputs), inputs, 0)
    assert found is not None
    half = len(labels) // 2
    matrix = found.arrays["input"]
    low, high = matrix[:half], matrix[half:]
    assert (np.sum(low != high, axis=1) == 1).all()
    answers = original.answer(found)["probabilities"][:, 1]
    assert (answers[:half] != answers[half:]).all()
