import numpy as np
import pytest
from sklearn.datasets import load_digits

from models import export
from models.digits import train


@pytest.fixture(scope="module")
def data():
    images, digits = load_digits(return_X_y=True)
    return images.astype(np.float32), digits


@pytest.fixture(scope="module")
def network(data):
    images, digits = data
    return train.train(images[:1000], digits[:1000])


def test_graph_agrees_with_the_network(data, network):
    images, _ = data
    expected = {"probabilities": network.predict_proba(images), "digit": network.predict(images)}
    assert export.verify(train.to_onnx(network), {"image": images}, expected) <= 1e-5


def test_graph_reads_digits_it_has_not_seen(data, network):
    images, digits = data
    read = export.run(train.to_onnx(network), {"image": images[1000:]})["digit"]
    assert (read == digits[1000:]).mean() > 0.9


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_graph_answers_as_many_rows_as_it_is_asked(data, network, rows):
    answers = export.run(train.to_onnx(network), {"image": data[0][:rows]})
    assert answers["probabilities"].shape == (rows, 10)
    assert answers["digit"].shape == (rows,)


def test_training_twice_gives_the_same_bytes(data, network):
    images, digits = data
    again = train.train(images[:1000], digits[:1000])
    assert train.to_onnx(again) == train.to_onnx(network)


def test_export_is_refused_when_a_digit_was_never_seen(data):
    images, digits = data
    few = train.train(images[digits < 9][:300], digits[digits < 9][:300])
    with pytest.raises(ValueError, match="all digits"):
        train.to_onnx(few)
