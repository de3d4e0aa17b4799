from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from optimize.convert.trained import convert
from optimize.distil.teach import Lessons, read_lessons, teach
from optimize.errors import OptimizeError
from optimize.source.table import inputs_of

RNG = np.random.default_rng(6)


def table(rows: int) -> pd.DataFrame:
    return pd.DataFrame(RNG.normal(0, 1, (rows, 2)).astype(np.float32), columns=["a", "b"])


JUDGED = table(50)
MODEL: Any = make_pipeline(StandardScaler(), LogisticRegression()).fit(
    table(80), RNG.choice(["no", "yes"], 80)
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(convert(MODEL, inputs_of(MODEL, JUDGED)))
    return path


def learn(graph: Path, model: Any = MODEL, **references: str) -> Lessons:
    folder = graph.parent
    named = {"training": None, "transfer": None, "target": "y", **references}
    teach(model, JUDGED, graph, {}, folder, named, folder)
    return read_lessons(folder)


def test_teach_asks_the_original_about_rows_with_and_without_a_target(graph: Path) -> None:
    folder = graph.parent
    table(30).assign(y=RNG.choice(["no", "yes"], 30)).to_csv(folder / "train.csv", index=False)
    table(20).assign(more=1).to_csv(folder / "more.csv", index=False)
    lessons = learn(graph, training="train.csv", transfer="more.csv")
    assert (len(lessons), lessons.labelled, lessons.left_out) == (50, 30, 0)
    assert set(lessons.hard.tolist()) == {0, 1}
    assert lessons.classes == ["no", "yes"]
    few = pd.DataFrame({name: array[:, 0] for name, array in lessons.arrays.items()})
    expected = MODEL.predict_proba(few)
    np.testing.assert_allclose(lessons.answers["probabilities"], expected, atol=1e-6)


def test_teach_leaves_the_evaluation_rows_out(graph: Path) -> None:
    folder = graph.parent
    mixed = pd.concat([JUDGED[:7], table(20), JUDGED[7:9]])
    mixed.assign(y="no").to_csv(folder / "train.csv", index=False)
    lessons = learn(graph, training="train.csv")
    assert (len(lessons), lessons.labelled, lessons.left_out) == (20, 20, 9)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (JUDGED, r"transfer has 50 rows, none of which is not in the evaluation set"),
        (JUDGED[:0], r"optimize\.data\.transfer is empty"),
        (JUDGED.rename(columns={"b": "c"}), r"optimize\.data\.transfer has no column b"),
        (JUDGED.assign(a="word"), r"transfer is not like the evaluation set"),
    ],
)
def test_teach_says_what_the_rows_lack(graph: Path, rows: pd.DataFrame, message: str) -> None:
    rows.to_csv(graph.parent / "more.csv", index=False)
    with pytest.raises(OptimizeError, match=f"{message}.*evaluation set's columns"):
        learn(graph, transfer="more.csv")


def test_teach_says_that_there_is_no_such_file(graph: Path) -> None:
    with pytest.raises(OptimizeError, match="there is no file"):
        learn(graph, transfer="more.csv")


class Moody:
    """Answers only what it was fitted to."""

    classes_ = ("no", "yes")

    def predict_proba(self, rows: Any) -> Any:
        raise RuntimeError("not today")


def test_teach_says_that_the_original_failed(graph: Path) -> None:
    table(5).to_csv(graph.parent / "more.csv", index=False)
    with pytest.raises(OptimizeError, match=r"original failed on the transfer rows.*not today"):
        learn(graph, model=Moody(), transfer="more.csv")
