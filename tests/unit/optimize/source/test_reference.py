"""The two silent failures of exported pipelines, through the original and the server's decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from optimize.convert.trained import convert
from optimize.gates import Gate
from optimize.settings import Gates
from optimize.source.reference import make_reference
from optimize.source.table import inputs_of
from optimize.verify.check import Question, verify

ROWS = 300


def table(gap: Any) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(3)
    city = rng.choice(np.array(["Köln", "Paris", "東京", gap], object), ROWS)
    age = rng.normal(40, 10, ROWS).astype(np.float32)
    age[::9] = np.nan
    target = ((city == "Paris") | (np.nan_to_num(age) > 45)).astype(np.int64)
    return pd.DataFrame({"age": age, "city": pd.Series(city, dtype=object)}), target


def pipeline(encoder: OneHotEncoder, features: pd.DataFrame, target: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepare = ColumnTransformer([("n", numbers, ["age"]), ("c", encoder, ["city"])])
    return make_pipeline(prepare, LogisticRegression()).fit(features, target)


def edge_gate(tmp_path: Path, model: Any, features: Any, target: Any, **defaults: str) -> Gate:
    path = tmp_path / "model.onnx"
    path.write_bytes(convert(model, inputs_of(model, features)))
    made = make_reference(model, features, target, path, defaults, {}, 0)
    asked = Question(
        made.inputs,
        made.answers,
        made.target,
        made.edges,
        made.edge_answers,
        made.edge_labels,
        made.groups,
        "probabilities",
        ["roc_auc"],
        {},
    )
    gates = verify(path, False, asked, Gates(bootstrap=100, atol=1e-4, boundary_ulps=4)).gates
    return next(gate for gate in gates if gate.name in ("edge rows", "evaluation rows"))


def test_null_reaches_the_category_that_the_encoder_knows_it_by(tmp_path: Path) -> None:
    features, target = table(np.nan)
    model = pipeline(OneHotEncoder(handle_unknown="ignore"), features, target)
    assert inputs_of(model, features)[1].missing == "nan"
    gate = edge_gate(tmp_path, model, features, target)
    assert gate.verdict == "pass", gate


def test_null_sent_as_an_empty_string_is_caught(tmp_path: Path) -> None:
    features, target = table(np.nan)
    model = pipeline(OneHotEncoder(handle_unknown="ignore"), features, target)
    gate = edge_gate(tmp_path, model, features, target, city="")
    assert gate.verdict == "fail"
    assert "city is null" in gate.detail


def test_a_category_that_the_graph_fails_on_is_caught(tmp_path: Path) -> None:
    features, target = table("")
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.22)
    model = pipeline(encoder, features, target)
    gate = edge_gate(tmp_path, model, features, target)
    assert gate.verdict == "fail"


@pytest.mark.parametrize("gap", ["", "unknown"])
def test_a_gap_that_is_a_word_needs_no_policy(tmp_path: Path, gap: str) -> None:
    features, target = table(gap)
    model = pipeline(OneHotEncoder(handle_unknown="ignore"), features, target)
    assert inputs_of(model, features)[1].missing == ""
    assert edge_gate(tmp_path, model, features, target).verdict == "pass"
