"""The benchmark models run, and are the same each time they are built."""

import numpy as np
import onnxruntime
import pytest
import yaml

from benchmarks import models


@pytest.mark.parametrize("model", [models.SMALL, models.STEADY, models.LARGE], ids=lambda m: m.name)
def test_model_gives_one_probability_a_row(model, tmp_path):
    session = onnxruntime.InferenceSession(str(model.write(tmp_path)))
    features = session.get_inputs()[0].shape[1]

    (scores,) = session.run(None, {"x": np.full((3, features), 0.5, np.float32)})

    assert scores.shape == (3, 1)
    assert ((scores > 0) & (scores < 1)).all()


def test_model_is_written_as_a_folder_of_a_repository(tmp_path):
    artefact = models.SMALL.write(tmp_path)

    assert artefact == tmp_path / "small" / "1" / "model.onnx"
    settings = yaml.safe_load((tmp_path / "small" / "model.yaml").read_text())
    assert settings == {"batching": {"max_batch_size": 256}, "slo": {"latency_ms": 100.0}}


def test_release_answers_a_little_less(tmp_path):
    scores = []
    for number, shift in ((0, 0.0), (2, 0.0), (3, 2.0)):
        path = tmp_path / str(number) / "model.onnx"
        path.parent.mkdir()
        models.build_release(path, number, shift)
        session = onnxruntime.InferenceSession(str(path))
        x = np.random.default_rng(0).standard_normal((8, models.FEATURES), np.float32)
        scores.append(session.run(None, {"x": x})[0])

    assert scores[1] == pytest.approx(scores[0] * 0.998, rel=1e-5)
    odds = scores[0] / (1 - scores[0]) * np.exp(2.0)
    assert scores[2] == pytest.approx(odds / (1 + odds) * 0.997, rel=1e-4)


def test_model_is_the_same_file_when_built_again(tmp_path):
    first, second = (models.SMALL.write(tmp_path / name) for name in "ab")

    assert first.read_bytes() == second.read_bytes()
