"""Train the digits classifier and export it: ``python models/digits/train.py``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))  # so that the script runs from anywhere

from models import export

SEED = 20
PIXELS = 64
CLASSES = 10


def train(images: npt.NDArray[np.float32], digits: npt.NDArray[np.int64]) -> Pipeline:
    """Fit scaling and a perceptron with one hidden layer on ``[rows, 64]`` pixels of 0..16."""
    pipeline = Pipeline(
        [
            ("scale", MinMaxScaler()),
            (
                "classify",
                MLPClassifier(
                    hidden_layer_sizes=(64,), alpha=1e-3, max_iter=60, tol=0.0, random_state=SEED
                ),
            ),
        ]
    )
    return pipeline.fit(images, digits)


def to_onnx(pipeline: Pipeline) -> bytes:
    """One graph: ``image`` FP32 [batch, 64] to ``probabilities`` [batch, 10] and ``digit``."""
    model = convert_sklearn(
        pipeline,
        name="digits",
        initial_types=[("image", FloatTensorType([None, PIXELS]))],
        options={"zipmap": False},
        target_opset={"": export.OPSET, "ai.onnx.ml": export.ML_OPSET},
    )
    label, probabilities = (output.name for output in model.graph.output)
    tail = [
        onnx.helper.make_node("Identity", [probabilities], ["probability_of_each"]),
        onnx.helper.make_node("Identity", [label], ["digit"]),
    ]
    return model
