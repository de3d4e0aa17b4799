from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from sklearn.linear_model import LogisticRegression

from optimize.convert.trained import convert
from optimize.distil.follow import following
from optimize.errors import OptimizeError
from optimize.source.table import inputs_of
from serve.tensors import Array

RNG = np.random.default_rng(7)
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
SCORES = RNG.random((40, 1)).astype(np.float32)


def thresholded() -> onnx.ModelProto:
    """``score`` is an input doubled; ``alarm`` is whether it reaches a half."""
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Add", ["x", "x"], ["score"]),
        helper.make_node("GreaterOrEqual", ["score", "half"], ["reached"]),
        helper.make_node("Cast", ["reached"], ["alarm"], to=INT64),
    ]
    outputs = [info("score", FLOAT, ["b", 1]), info("alarm", INT64, ["b", 1])]
    half = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half")
    graph = helper.make_graph(nodes, "g", [info("x", FLOAT, ["b", 1])], outputs, [half])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, name: str, given: Array) -> dict[str, Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: given}), strict=True))


def test_following_is_what_the_export_calculates_itself() -> None:
    answers = {"score": SCORES, "alarm": (SCORES >= 0.5).astype(np.int64)}
    found = following(thresholded(), "score", answers, None)
    np.testing.assert_array_equal(run(found, "score", SCORES)["alarm"], answers["alarm"])


@pytest.mark.parametrize("names", [["no", "perhaps", "yes"], [3, 5, 9]])
def test_following_names_the_class_where_one_operator_gives_both(names: list[str | int]) -> None:
    rows = RNG.normal(0, 1, (90, 2)).astype(np.float32)
    model = LogisticRegression().fit(rows, RNG.choice(np.array(names), 90))
    export = onnx.load_from_string(convert(model, inputs_of(model, rows)))
    answers = run(export, "input", rows)
    found = following(export, "probabilities", answers, model.classes_.tolist())
    label = run(found, "probabilities", answers["probabilities"])["label"]
    np.testing.assert_array_equal(label, answers["label"])


def test_following_is_nothing_where_there_is_one_output() -> None:
    model = thresholded()
    del model.graph.output[1]
    assert following(model, "score", {"score": SCORES}, None) is None


def test_following_refuses_an_output_that_has_more_to_it() -> None:
    model = thresholded()
    model.graph.node[1].input[0] = "x"
    answers = {"score": SCORES, "alarm": (SCORES >= 0.25).astype(np.int64)}
    with pytest.raises(OptimizeError, match="'alarm' does not follow from 'score'"):
        following(model, "score", answers, None)
