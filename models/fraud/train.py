"""Train the fraud model and export it with its preprocessing: ``python models/fraud/train.py``."""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
from lightgbm import LGBMClassifier
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from anywhere

from models import export
from models.fraud.generate import CATEGORIES, FEATURES, NUMBERS, generate
from optimize.convert.thresholds import lightgbm_thresholds, round_thresholds_down

FOLDER = Path(__file__).resolve().parent
ROWS = 200_000
SEED = 7
TRANSFER_ROWS = 100_000
TRANSFER_SEED = 70
# A review team can follow up alarms of which four in five are right.
PRECISION = 0.8


@dataclass(frozen=True)
class Split:
    """The data in time order: to learn from, to choose the threshold on, to be judged by."""

    train: pd.DataFrame
    tune: pd.DataFrame
    test: pd.DataFrame


def split(table: pd.DataFrame) -> Split:
    """70, 15 and 15 %, the latest last: a model is always asked about the future."""
    first, second = int(0.70 * len(table)), int(0.85 * len(table))
    return Split(table[:first], table[first:second], table[second:])


def train(table: pd.DataFrame) -> Pipeline:
    """Fit imputation, scaling, encoding and boosted trees on the columns of ``FEATURES``."""
    numbers = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    # A category that is missing ("") is one more category; one never seen becomes -1.
    categories = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32
    )
    prepare = ColumnTransformer(
        [("numbers", numbers, list(NUMBERS)), ("categories", categories, list(CATEGORIES))]
    )
    trees = LGBMClassifier(
        n_estimators=100,
        learning_rate=0.05,
        num_leaves=23,
        min_child_samples=60,
        reg_lambda=5.0,
        colsample_bytree=0.8,
        subsample=0.8,
        subsample_freq=1,
        random_state=SEED,
        # One thread and a fixed order of additions: the same trees on every machine.
        n_jobs=1,
        deterministic=True,
        force_row_wise=True,
        verbose=-1,
    )
    features, fraud = table[list(FEATURES)], table["is_fraud"]
    prepare.fit(features)
    # The graph calculates in FP32. With constants that FP32 can hold, both scale to the last bit
    # alike, and no value comes to lie on the other side of a tree's threshold.
    scaler = prepare.named_transformers_["numbers"]["scale"]
    scaler.mean_ = scaler.mean_.astype(np.float32)
    scaler.scale_ = scaler.scale_.astype(np.float32)
    trees.fit(prepare.transform(features), fraud)
    return Pipeline([("prepare", prepare), ("classify", trees)])


def probability(pipeline: Pipeline, table: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The probability of fraud, one a row."""
    with warnings.catch_warnings():
        # Some versions of LightGBM remember names of columns that they were never given.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        scores: npt.NDArray[np.float64] = pipeline.predict_proba(table[list(FEATURES)])[:, 1]
    return scores


def choose_threshold(pipeline: Pipeline, table: pd.DataFrame, precision: float) -> float:
    """The lowest probability from which on alarms have the precision, to four digits."""
    reached, _, thresholds = precision_recall_curve(table["is_fraud"], probability(pipeline, table))
    good = np.flatnonzero(reached[:-1] >= precision)
    if not len(good):
        raise ValueError(f"no threshold gives a precision of {precision}; train on more rows")
    return round(float(thresholds[good[0]]), 4)


def evaluate(pipeline: Pipeline, threshold: float, table: pd.DataFrame) -> dict[str, Any]:
    """How good it is on transactions later than all that it has seen."""
    fraud = table["is_fraud"].to_numpy()
    scores = probability(pipeline, table)
    precision, recall, _ = precision_recall_curve(fraud, scores)
    alarms = scores >= threshold
    caught = int(fraud[alarms].sum())
    return {
        "rows": len(table),
        "fraud_rate": round(float(fraud.mean()), 5),
        "roc_auc": round(float(roc_auc_score(fraud, scores)), 4),
        "pr_auc": round(float(average_precision_score(fraud, scores)), 4),
        f"recall_at_precision_{PRECISION}": round(float(recall[precision >= PRECISION].max()), 4),
        "threshold": threshold,
        "precision_at_threshold": round(caught / max(int(alarms.sum()), 1), 4),
        "recall_at_threshold": round(caught / max(int(fraud.sum()), 1), 4),
        "alarms_per_1000": round(1000 * float(alarms.mean()), 2),
    }


def to_onnx(pipeline: Pipeline, threshold: float) -> bytes:
    """One graph with an input [batch, 1] for each feature: FP32 numbers, BYTES categories.

    Its outputs are ``probability`` FP32 [batch, 1] and ``label`` INT64 [batch, 1], which is 1
    where the probability reaches the threshold.
    """
    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    inputs = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    inputs += [(name, StringTensorType([None, 1])) for name in CATEGORIES]
    model = convert_sklearn(
        pipeline,
        name="fraud",
        initial_types=inputs,
        final_types=[("class", None), ("of_each_class", FloatTensorType([None, 2]))],
        # Scale by dividing, as scikit-learn does: to multiply by the inverse rounds differently.
        options={LGBMClassifier: {"zipmap": False}, StandardScaler: {"div": "div"}},
        target_opset={"": export.OPSET, "ai.onnx.ml": export.ML_OPSET},
    )
    # The converter rounds to the nearest FP32, which may be above the threshold it stands for.
    round_thresholds_down(model, lightgbm_thresholds(pipeline["classify"].booster_))
    node = onnx.helper.make_node
    tail = [
        node("Gather", ["of_each_class", "fraud_column"], ["probability"], axis=1),
        node("GreaterOrEqual", ["probability", "threshold"], ["alarm"]),
        node("Cast", ["alarm"], ["label"], to=onnx.TensorProto.INT64),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "fraud_column": np.array([1], dtype=np.int64),
        "threshold": np.array(threshold, dtype=np.float32),
    }
    outputs = {
        "probability": (onnx.TensorProto.FLOAT, (1,)),
        "label": (onnx.TensorProto.INT64, (1,)),
    }
    return export.finish(model, tail, constants, outputs)


def onnx_inputs(table: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """The features as the graph takes them: one [rows, 1] array each."""
    return {name: table[[name]].to_numpy() for name in FEATURES}


def hostile(table: pd.DataFrame) -> pd.DataFrame:
    """Its rows as clients may send them: each feature missing in some, categories never seen."""
    hard = table.reset_index(drop=True).copy()
    for turn, name in enumerate(FEATURES):
        mine = hard.index % (len(FEATURES) + 2) == turn
        hard.loc[mine, name] = np.float32(np.nan) if name in NUMBERS else ""
    hard.loc[hard.index % 7 == 0, "merchant_category"] = "Größe unbekannt"
    hard.loc[hard.index % 11 == 0, "country"] = "XX"
    hard.loc[hard.index % 13 == 0, list(NUMBERS)] = np.float32(np.nan)
    return hard


def check(pipeline: Pipeline, threshold: float, model: bytes, table: pd.DataFrame) -> float:
    """Hold the graph against the pipeline; return the largest difference.

    Raises:
        ParityError: they disagree, on the rows as they are or with more of them missing.
    """
    largest = 0.0
    for rows in (table, hostile(table)):
        scores = probability(pipeline, rows)[:, None]
        largest = max(largest, export.verify(model, onnx_inputs(rows), {"probability": scores}))
        # Rounding may decide within a hair of the threshold; nowhere else.
        clear = np.abs(scores[:, 0] - threshold) > 1e-5
        labels = (scores[clear] >= threshold).astype(np.int64)
        export.verify(model, onnx_inputs(rows[clear]), {"label": labels})
    return largest


@lru_cache(maxsize=1)
def _trained() -> tuple[Pipeline, float, Split]:
    parts = split(generate(ROWS, SEED))
    pipeline = train(parts.train)
    return pipeline, choose_threshold(pipeline, parts.tune, PRECISION), parts


def answers(pipeline: Pipeline, threshold: float, table: pd.DataFrame) -> dict[str, Any]:
    """What the graph answers, by scikit-learn and LightGBM themselves."""
    scores = probability(pipeline, table)[:, None]
    return {"probability": scores, "label": (scores >= threshold).astype(np.int64)}


def fitted() -> dict[str, Any]:
    """For ``penstock optimize``: the graph with its own outputs, and the original behind it."""
    pipeline, threshold, _ = _trained()
    return {
        "onnx": to_onnx(pipeline, threshold),
        "predict": partial(answers, pipeline, threshold),
    }


def evaluation() -> tuple[pd.DataFrame, npt.NDArray[Any]]:
    """For ``penstock optimize``: the latest transactions, which nothing was fitted or chosen on."""
    test = _trained()[2].test.reset_index(drop=True)
    return test[list(FEATURES)], test["is_fraud"].to_numpy().astype(np.int64)


def training() -> tuple[pd.DataFrame, npt.NDArray[Any]]:
    """For ``distil``: what the trees were trained on."""
    table = _trained()[2].train.reset_index(drop=True)
    return table[list(FEATURES)], table["is_fraud"].to_numpy().astype(np.int64)


def transfer() -> pd.DataFrame:
    """For ``distil``: transactions of another stream, whose labels nobody knows."""
    return generate(TRANSFER_ROWS, TRANSFER_SEED)[list(FEATURES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=FOLDER / "1", help="version folder")
    parser.add_argument("--rows", type=int, default=ROWS, help="transactions to generate")
    parser.add_argument("--seed", type=int, default=SEED, help="of the generator")
    arguments = parser.parse_args()

    parts = split(generate(arguments.rows, arguments.seed))
    pipeline = train(parts.train)
    threshold = choose_threshold(pipeline, parts.tune, PRECISION)
    model = to_onnx(pipeline, threshold)
    difference = check(pipeline, threshold, model, parts.test)
    metrics = evaluate(pipeline, threshold, parts.test)
    export.publish(arguments.output, model, metrics)
    print(f"{arguments.output}: ROC AUC {metrics['roc_auc']:.4f}, PR AUC {metrics['pr_auc']:.4f}")
    print(f"  on {metrics['rows']} held-out rows; graph and pipeline agree within {difference:.1g}")


if __name__ == "__main__":
    main()
