import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models import export


def doubling(extra: list[onnx.NodeProto]) -> onnx.ModelProto:
    """y = x + x, with nodes that nothing needs, as converters leave them."""
    shape = [None, 2]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"]), *extra],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def finished() -> bytes:
    tail = [helper.make_node("Mul", ["y", "two"], ["z"])]
    constants = {"two": np.array(2, dtype=np.float32)}
    unused = [helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Abs", ["n"], ["m"])]
    return export.finish(doubling(unused), tail, constants, {"z": (TensorProto.FLOAT, (2,))})


def test_finish_appends_the_tail_and_drops_what_nothing_needs():
    graph = onnx.load_from_string(finished()).graph
    assert [node.op_type for node in graph.node] == ["Add", "Mul"]
    assert [output.name for output in graph.output] == ["z"]


def test_finish_names_the_batch_dimension():
    graph = onnx.load_from_string(finished()).graph
    names = [value.type.tensor_type.shape.dim[0].dim_param for value in graph.input]
    names += [value.type.tensor_type.shape.dim[0].dim_param for value in graph.output]
    assert names == ["batch", "batch"]


def test_run_gives_outputs_by_name():
    ones = np.ones((3, 2), dtype=np.float32)
    assert export.run(finished(), {"x": ones})["z"].tolist() == [[4.0, 4.0]] * 3


def test_verify_gives_the_largest_difference():
    ones = np.ones((2, 2), dtype=np.float32)
    expected = {"z": np.array([[4.0, 4.0], [4.0, 4.000004]])}
    assert export.verify(finished(), {"x": ones}, expected) == pytest.approx(4e-6, rel=0.01)


@pytest.mark.parametrize("wrong", [4.1, float("nan"), float("inf")])
def test_verify_refuses_when_a_value_differs(wrong):
    expected = {"z": np.array([[4.0, 4.0], [4.0, wrong]])}
    with pytest.raises(export.ParityError, match="z: 1 of 2 rows differ"):
        export.verify(finished(), {"x": np.ones((2, 2), dtype=np.float32)}, expected)


def test_verify_refuses_when_a_shape_differs():
    with pytest.raises(export.ParityError, match=r"z: shape \(2, 2\)"):
        export.verify(
            finished(), {"x": np.ones((2, 2), dtype=np.float32)}, {"z": np.full((2,), 4.0)}
        )


def test_publish_writes_a_version_and_nothing_else(tmp_path):
    export.publish(tmp_path / "fraud" / "1", b"graph", {"rows": 3})
    assert [path.name for path in (tmp_path / "fraud").iterdir()] == ["1"]
    assert (tmp_path / "fraud" / "1" / "model.onnx").read_bytes() == b"graph"
    assert json.loads((tmp_path / "fraud" / "1" / "metrics.json").read_text()) == {"rows": 3}


def test_publish_replaces_the_files_of_a_version_when_it_exists(tmp_path):
    export.publish(tmp_path / "1", b"old", {})
    (tmp_path / "1" / "notes.txt").write_text("kept")
    export.publish(tmp_path / "1", b"new", {})
    assert (tmp_path / "1" / "model.onnx").read_bytes() == b"new"
    assert (tmp_path / "1" / "notes.txt").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_publish_leaves_nothing_behind_when_it_fails(tmp_path):
    (tmp_path / "1").write_text("a file where the version should be")
    with pytest.raises(OSError):
        export.publish(tmp_path / "1", b"graph", {})
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
