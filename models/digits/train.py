"""Train the digits classifier and export it: ``python models/digits/train.py``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs from anywhere

from models import export

FOLDER = Path(__file__).resolve().parent
SEED = 20
PIXELS = 64
BRIGHTEST = 16
CLASSES = 10
HELD_OUT = 0.25

Images = npt.NDArray[np.float32]
Digits = npt.NDArray[np.int64]


def train(images: Images, digits: Digits) -> MLPClassifier:
    """Fit a perceptron with one hidden layer on ``[rows, 64]`` pixels of 0..16."""
    network = MLPClassifier(
        hidden_layer_sizes=(64,),
        alpha=0.1,
        learning_rate_init=0.005,
        max_iter=400,
        random_state=SEED,
    )
    network.fit(images / BRIGHTEST, digits)
    # It learns best on 0..1 and is asked on 0..16: the first layer's weights take the scale.
    network.coefs_[0] /= BRIGHTEST
    return network


def to_onnx(network: MLPClassifier) -> bytes:
    """The graph: ``image`` FP32 [batch, 64] to ``probabilities`` [batch, 10], ``digit`` [batch]."""
    if not np.array_equal(network.classes_, np.arange(CLASSES)):
        raise ValueError(f"the training data must have all digits, not just {network.classes_}")
    model = convert_sklearn(
        network,
        name="digits",
        initial_types=[("image", FloatTensorType([None, PIXELS]))],
        final_types=[
            ("label", None),
            ("probabilities", FloatTensorType([None, CLASSES])),
        ],
        options={"zipmap": False},
        target_opset={"": export.OPSET, "ai.onnx.ml": export.ML_OPSET},
    )
    digit = onnx.helper.make_node("ArgMax", ["probabilities"], ["digit"], axis=1, keepdims=0)
    outputs = {
        "probabilities": (onnx.TensorProto.FLOAT, (CLASSES,)),
        "digit": (onnx.TensorProto.INT64, ()),
    }
    return export.finish(model, [digit], {}, outputs)


def evaluate(network: MLPClassifier, images: Images, digits: Digits) -> dict[str, Any]:
    """How good it is on images that it has not seen."""
    probabilities = network.predict_proba(images)
    return {
        "rows": len(digits),
        "accuracy": round(float(accuracy_score(digits, probabilities.argmax(axis=1))), 4),
        "log_loss": round(float(log_loss(digits, probabilities)), 4),
    }


def parts() -> tuple[Images, Images, Digits, Digits]:
    """Images to learn from and to be judged by, and the digits on them."""
    images, digits = load_digits(return_X_y=True)
    split: tuple[Images, Images, Digits, Digits] = tuple(
        train_test_split(
            images.astype(np.float32),
            digits,
            test_size=HELD_OUT,
            random_state=SEED,
            stratify=digits,
        )
    )
    return split


def evaluation() -> tuple[dict[str, Images], Digits]:
    """For ``penstock optimize``: images that the network was not trained on."""
    _, unseen, _, digits = parts()
    return {"image": unseen}, digits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=FOLDER / "1", help="version folder")
    version: Path = parser.parse_args().output

    seen, unseen, seen_digits, unseen_digits = parts()
    network = train(seen, seen_digits)
    model = to_onnx(network)
    expected = {
        "probabilities": network.predict_proba(unseen),
        "digit": network.predict(unseen),
    }
    difference = export.verify(model, {"image": unseen}, expected)
    metrics = evaluate(network, unseen, unseen_digits)
    export.publish(version, model, metrics)
    print(f"{version}: accuracy {metrics['accuracy']:.4f} on {metrics['rows']} held-out images,")
    print(f"  graph and network agree within {difference:.1g}")


if __name__ == "__main__":
    main()
