import json
import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest

from models import export
from models.fraud import train
from models.fraud.generate import CATEGORIES, FEATURES, NUMBERS


def gap(rows: int) -> pd.DataFrame:
    """Transactions of which nothing is known."""
    table = pd.DataFrame({name: np.full(rows, np.nan, np.float32) for name in NUMBERS})
    return table.assign(**dict.fromkeys(CATEGORIES, ""))


def test_split_keeps_the_order_of_time():
    parts = train.split(pd.DataFrame({"t": range(200)}))
    assert (parts.train["t"].max(), parts.tune["t"].max()) == (139, 169)
    assert (len(parts.train), len(parts.tune), len(parts.test)) == (140, 30, 30)


def test_graph_agrees_with_the_pipeline(small_fraud):
    held = train.check(
        small_fraud.pipeline, small_fraud.threshold, small_fraud.model, small_fraud.unseen
    )
    assert held <= 1e-5


def test_graph_agrees_with_the_pipeline_when_nothing_is_known(small_fraud):
    answers = export.run(small_fraud.model, train.onnx_inputs(gap(3)))
    expected = train.probability(small_fraud.pipeline, gap(3))
    np.testing.assert_allclose(answers["probability"][:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("name", CATEGORIES)
def test_graph_takes_any_category(small_fraud, name):
    table = small_fraud.unseen[:5].assign(**{name: ["", "?", "Zürich", "x" * 10_000, "nan"]})
    answers = export.run(small_fraud.model, train.onnx_inputs(table))
    expected = train.probability(small_fraud.pipeline, table)
    np.testing.assert_allclose(answers["probability"][:, 0], expected, atol=1e-6)


def test_graph_scores_a_row_alike_alone_and_among_others(small_fraud):
    together = export.run(small_fraud.model, train.onnx_inputs(small_fraud.unseen[:9]))
    alone = export.run(small_fraud.model, train.onnx_inputs(small_fraud.unseen[4:5]))
    assert alone["probability"][0] == together["probability"][4]


def test_graph_answers_no_rows_with_no_rows(small_fraud):
    answers = export.run(small_fraud.model, train.onnx_inputs(small_fraud.unseen[:0]))
    assert {name: array.shape for name, array in answers.items()} == {
        "probability": (0, 1),
        "label": (0, 1),
    }


def test_graph_labels_by_the_threshold(small_fraud):
    answers = export.run(small_fraud.model, train.onnx_inputs(small_fraud.unseen))
    alarms = answers["probability"] >= np.float32(small_fraud.threshold)
    np.testing.assert_array_equal(answers["label"], alarms.astype(np.int64))
    assert 0 < alarms.sum() < len(alarms)


def test_graph_has_one_input_a_feature_and_a_symbolic_batch(small_fraud):
    graph = onnx.load_from_string(small_fraud.model).graph
    values = {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in [*graph.input, *graph.output]
    }
    number = (onnx.TensorProto.FLOAT, ["batch", 1])
    assert values == {
        **dict.fromkeys(NUMBERS, number),
        **dict.fromkeys(CATEGORIES, (onnx.TensorProto.STRING, ["batch", 1])),
        "probability": number,
        "label": (onnx.TensorProto.INT64, ["batch", 1]),
    }


def test_export_gives_the_same_bytes_twice(small_fraud):
    assert train.to_onnx(small_fraud.pipeline, small_fraud.threshold) == small_fraud.model


def test_check_refuses_a_graph_of_another_model(small_fraud):
    other = train.train(small_fraud.unseen)
    with pytest.raises(export.ParityError, match=r"probability: .* rows differ"):
        train.check(other, small_fraud.threshold, small_fraud.model, small_fraud.unseen)


def test_evaluate_finds_a_good_but_not_a_perfect_model(small_fraud):
    metrics = train.evaluate(small_fraud.pipeline, small_fraud.threshold, small_fraud.unseen)
    assert 0.7 < metrics["roc_auc"] < 0.999
    assert metrics["rows"] == len(small_fraud.unseen)


def test_threshold_gives_the_precision_asked_for(small_fraud):
    threshold = train.choose_threshold(small_fraud.pipeline, small_fraud.unseen, 0.5)
    metrics = train.evaluate(small_fraud.pipeline, threshold, small_fraud.unseen)
    assert metrics["precision_at_threshold"] >= 0.5


def test_threshold_is_refused_when_no_precision_is_reached(small_fraud):
    honest = small_fraud.unseen[small_fraud.unseen["is_fraud"] == 0].assign(is_fraud=0)
    honest.iloc[0, honest.columns.get_loc("is_fraud")] = 1
    with pytest.raises(ValueError, match="train on more rows"):
        train.choose_threshold(small_fraud.pipeline, honest, 1.1)


def test_hostile_rows_miss_every_feature_somewhere(small_fraud):
    hard = train.hostile(small_fraud.unseen)
    gaps = hard[list(FEATURES)].isna() | (hard[list(FEATURES)] == "")
    assert gaps.any().all()
    assert not small_fraud.unseen["amount"].isna().any()


def test_script_writes_a_version(tmp_path, models_folder):
    command = [sys.executable, "-B", str(models_folder / "fraud" / "train.py")]
    done = subprocess.run(
        [*command, "--rows", "8000", "--output", str(tmp_path / "5")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "5").iterdir()) == [
        "metrics.json",
        "model.onnx",
    ]
    assert json.loads((tmp_path / "5" / "metrics.json").read_text())["rows"] == 1200
