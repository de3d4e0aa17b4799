from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from optimize.source.load import function_at

torch = pytest.importorskip("torch")
FOLDER = Path(__file__).resolve().parents[3] / "models" / "digits"


def of_teacher(name):
    return function_at(FOLDER, f"teacher.py:{name}", "source")


def test_reader_gives_probabilities_and_the_most_probable_digit():
    answer = of_teacher("Reader")().eval()(torch.rand(5, 64) * 16)
    assert answer["probabilities"].shape == (5, 10)
    assert torch.allclose(answer["probabilities"].sum(1), torch.ones(5))
    assert torch.equal(answer["digit"], answer["probabilities"].argmax(1))


def test_transfer_images_are_altered_but_within_range():
    images, digits = of_teacher("training")()
    altered = of_teacher("transfer")()["image"]
    assert len(images["image"]) == len(digits)
    assert altered.dtype == np.float32
    assert altered.shape == (4 * len(digits), 64)
    assert altered.min() >= 0 and altered.max() <= 16
    assert not np.array_equal(altered[: len(digits)], images["image"])
    np.testing.assert_array_equal(altered, of_teacher("transfer")()["image"])
