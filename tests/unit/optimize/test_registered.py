from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import optimize.registered
from optimize.errors import OptimizeError
from optimize.registered import ROWS, VARYING, example_of, export_registered
from serve.repository.golden import read_golden

RNG = np.random.default_rng(3)


def saved(folder: Path, *inputs: dict[str, Any]) -> Path:
    """What MLflow would have written of a model with these inputs."""
    signature = {"inputs": json.dumps(inputs)} if inputs else None
    (folder / "MLmodel").write_text(yaml.safe_dump({"signature": signature}))
    return folder


def tensor(dtype: str, *shape: int, **more: str) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}, **more}


def test_rows_are_made_of_tensors(tmp_path: Path) -> None:
    made = example_of(saved(tmp_path, tensor("float32", -1, 4)), None)
    assert (made.features.shape, made.features.dtype) == ((ROWS, 4), np.float32)
    assert made.variable == {}


def test_rows_of_named_tensors_know_which_dimensions_vary(tmp_path: Path) -> None:
    inputs = tensor("float32", -1, 4, name="dense"), tensor("int64", -1, -1, name="kinds")
    made = example_of(saved(tmp_path, *inputs), None)
    assert made.features["kinds"].shape == (ROWS, VARYING)
    assert set(np.unique(made.features["kinds"])) <= {0, 1}
    assert made.variable == {"kinds": (1,)}


def test_rows_are_made_of_columns(tmp_path: Path) -> None:
    columns = [{"type": "double", "name": "age"}, {"type": "long", "name": "visits"}]
    table = example_of(saved(tmp_path, *columns), None).features
    assert list(table.columns) == ["age", "visits"]
    assert [table[name].dtype.kind for name in table.columns] == ["f", "i"]


@pytest.mark.parametrize(
    "inputs",
    [(), ({"type": "string", "name": "city"},), (tensor("object", -1, 1),)],
)
def test_model_of_which_nothing_is_known_asks_for_an_example(
    tmp_path: Path, inputs: tuple[dict[str, Any], ...]
) -> None:
    with pytest.raises(OptimizeError, match="log it again with an input_example of real rows"):
        example_of(saved(tmp_path, *inputs), None)


def test_model_that_knows_its_columns_needs_no_signature(tmp_path: Path) -> None:
    class Fitted:
        n_features_in_ = 3
        feature_names_in_ = ("a", "b", "c")

    assert list(example_of(saved(tmp_path), Fitted()).features.columns) == ["a", "b", "c"]


def fitted() -> Any:
    from sklearn.linear_model import LogisticRegression

    rows = RNG.normal(size=(64, 3)).astype(np.float32)
    return LogisticRegression().fit(rows, rows[:, 0] > 0)


def test_export_has_samples_that_the_server_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted()
    monkeypatch.setattr(optimize.registered, "_load", lambda *_: model)
    export_registered(saved(tmp_path, tensor("float32", -1, 3)), "sklearn", tmp_path)
    inputs, outputs = read_golden(tmp_path / "golden.npz")
    np.testing.assert_allclose(
        outputs["probabilities"], model.predict_proba(inputs["input"]), atol=1e-5
    )
    signature = json.loads((tmp_path / "signature.json").read_text())
    assert [each["name"] for each in signature["inputs"]] == ["input"]


def test_graph_that_answers_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, other = fitted(), fitted()
    other.coef_ = -other.coef_
    monkeypatch.setattr(optimize.registered, "_load", lambda *_: model)
    export = optimize.registered.export_model
    monkeypatch.setattr(
        optimize.registered,
        "export_model",
        lambda _, features, output: export(other, features, output),
    )
    with pytest.raises(OptimizeError, match="its graph answers otherwise: 'probabilities' by"):
        export_registered(saved(tmp_path, tensor("float32", -1, 3)), "sklearn", tmp_path)


def test_model_that_cannot_be_loaded_says_what_to_install(tmp_path: Path) -> None:
    pytest.importorskip("mlflow.sklearn")
    with pytest.raises(OptimizeError, match=r"requirements\.txt, or register it as ONNX"):
        export_registered(saved(tmp_path), "sklearn", tmp_path)
