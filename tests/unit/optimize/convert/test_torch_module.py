from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from optimize.convert.torch_module import NoOnnx, export_program, save_program, write_onnx
from optimize.errors import OptimizeError
from optimize.source.network import Network, as_network

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(3)


class Mixed(torch.nn.Module):  # type: ignore[name-defined, misc]
    """Two inputs, one of them indexes, and two outputs that are not in alphabetical order."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(4, 8)
        self.kinds = torch.nn.Embedding(10, 8)

    def forward(self, dense: Any, kinds: Any) -> dict[str, Any]:
        hidden = self.dense(dense) + self.kinds(kinds).mean(1)
        return {"score": torch.sigmoid(hidden.sum(1, keepdim=True)), "hidden": hidden}


class Plain(torch.nn.Module):  # type: ignore[name-defined, misc]
    """Any function of one input ``x``."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def network(module: Any, **variable: tuple[int, ...]) -> Network:
    made = as_network(module, Path(), (), variable)
    assert isinstance(made, Network)
    return made


def mixed_rows(rows: int, kinds: int = 5) -> dict[str, Any]:
    return {
        "kinds": RNG.integers(0, 10, (rows, kinds)),
        "dense": RNG.normal(0, 1, (rows, 4)),
    }


def plain(function: Any) -> tuple[Network, Any]:
    return network(Plain(function)), RNG.normal(0, 1, (8, 4)).astype(np.float32)


def test_exported_graph_answers_as_the_module_at_other_batches_and_lengths(
    tmp_path: Path,
) -> None:
    made = network(Mixed(), kinds=(1,))
    program = export_program(made, mixed_rows(6))
    assert write_onnx(made, program, tmp_path / "model.onnx") == 23
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for rows, kinds in ((1, 5), (7, 1), (64, 12)):
        arrays = made.arrays(mixed_rows(rows, kinds))
        wanted = made.answer(arrays)
        got = dict(zip(wanted, session.run(list(wanted), arrays), strict=True))
        for name, array in wanted.items():
            np.testing.assert_allclose(got[name], array, atol=1e-6)
    assert [each.name for each in session.get_inputs()] == ["dense", "kinds"]
    assert [each.name for each in session.get_outputs()] == ["score", "hidden"]
    assert {each.shape[0] for each in session.get_inputs()} == {"batch"}
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_saved_program_takes_other_batches(tmp_path: Path) -> None:
    made = network(Mixed())
    save_program(export_program(made, mixed_rows(6)), tmp_path / "program.pt2")
    again = torch.export.load(tmp_path / "program.pt2").module()
    arrays = made.arrays(mixed_rows(11))
    got = again(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    np.testing.assert_allclose(got["score"].detach(), made.answer(arrays)["score"], atol=1e-6)


def test_weights_beyond_one_file_lie_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimize.convert.torch_module.LARGEST_FILE", 64)
    module = torch.nn.Linear(64, 64)
    made, rows = network(module), RNG.normal(0, 1, (5, 64)).astype(np.float32)
    write_onnx(made, export_program(made, rows), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx.data").stat().st_size > 64 * 64
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    wanted = made.answer(made.arrays(rows))["output"]
    np.testing.assert_allclose(session.run(None, {"input": rows})[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "problem", "remedy"),
    [
        (lambda x: x if x.sum() > 0 else -x, "decides by the values of a tensor at", "torch.where"),
        (lambda x: x.reshape(3, 4) if len(x) == 3 else x, "dimension 0 of 'x'", "x.shape"),
        (lambda x: x.mean(), r"output 'output' has shape \[\] for 3 row", "the batch first"),
        (lambda x: x[:, :1].squeeze(), r"has shape \[\] for 1 row", "do not squeeze it"),
        (lambda x: x @ x.new_zeros(7, 2), "fails on 3 row.*mat1 and mat2", "dtypes and shapes"),
        (lambda x: {"a": x, "b": 3}, "output 'b' is a int", "tensor"),
    ],
    ids=["branch", "fixed", "no rows", "squeeze", "shapes", "no tensor"],
)
def test_export_says_what_is_wrong_with_forward(function: Any, problem: str, remedy: str) -> None:
    made, rows = plain(function)
    with pytest.raises(OptimizeError, match=problem) as found:
        export_program(made, rows)
    assert remedy in found.value.remedy


def test_no_onnx_names_the_operator_and_leaves_no_file(tmp_path: Path) -> None:
    made, rows = plain(lambda x: torch.linalg.svd(x.reshape(-1, 2, 2)).S)
    program = export_program(made, rows)
    with pytest.raises(NoOnnx, match=r"No ONNX function found for aten\._linalg_svd"):
        write_onnx(made, program, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_output_may_be_named_as_a_value_inside_the_graph(tmp_path: Path) -> None:
    made, rows = plain(lambda x: {"relu": torch.relu(x) + 1, "x_2": x * 2})
    write_onnx(made, export_program(made, rows), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    got = dict(zip(("relu", "x_2"), session.run(["relu", "x_2"], {"x": rows}), strict=True))
    np.testing.assert_array_equal(got["relu"], np.maximum(rows, 0) + 1)
    np.testing.assert_array_equal(got["x_2"], rows * 2)


def test_opset_falls_back_where_the_newest_gives_no_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.onnx.export

    def no_23(*arguments: Any, **options: Any) -> Any:
        if options["opset_version"] == 23:
            raise RuntimeError("not this one")
        return real(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", no_23)
    made, rows = plain(torch.relu)
    assert write_onnx(made, export_program(made, rows), tmp_path / "model.onnx") == 20
    (opset,) = [each.version for each in onnx.load(tmp_path / "model.onnx").opset_import]
    assert opset == 20
