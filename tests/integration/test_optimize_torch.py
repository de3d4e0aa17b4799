"""A network that ONNX cannot express, from its file to answers over HTTP's own path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from optimize.cli import main  # noqa: E402
from optimize.steps.aot_inductor import AotInductor  # noqa: E402
from serve.backends.base import BackendSource  # noqa: E402
from serve.clock import monotonic_ns  # noqa: E402
from serve.errors import RepositoryError  # noqa: E402
from serve.executors.loader import prepare  # noqa: E402
from serve.repository.golden import read_golden  # noqa: E402
from serve.repository.scan import scan_model  # noqa: E402
from serve.tensors import Batch  # noqa: E402
from tests.support import text_models  # noqa: E402

CODE = '''
import numpy as np
import torch


class Roots(torch.nn.Module):
    """A polynomial's value where its matrix is decomposed: no ONNX operator does that."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.mix = torch.nn.Linear(9, 9)

    def forward(self, x):
        square = self.mix(x).reshape(-1, 3, 3)
        return torch.sigmoid(torch.linalg.matrix_exp(0.1 * square).sum((1, 2)) - 3)


def model():
    return {"module": Roots()}


def data():
    rows = np.random.default_rng(0).normal(size=(300, 9)).astype(np.float32)
    scores = Roots().eval()(torch.tensor(rows)).detach().numpy()
    return {"x": rows}, (scores > np.median(scores)).astype(np.int64)
'''
OF_TEXT = '''
import numpy as np
import torch


class Words(torch.nn.Module):
    """A vector for a text, by a decomposition that no ONNX operator does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(9, 9)

    def forward(self, input_ids, attention_mask):
        real = attention_mask.unsqueeze(-1).float()
        mean = (self.words(input_ids) * real).sum(1) / real.sum(1)
        vector = torch.linalg.matrix_exp(mean.reshape(-1, 3, 3)).flatten(1)
        return {"embedding": torch.nn.functional.normalize(vector, dim=1)}


def model():
    return {"module": Words(), "tokenizer": "tokenizer.json", "max_length": 32}


def data():
    words = np.array(["red", "green", "blue", "unknown"])
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(200)]
    return {"text": np.array(texts, object)[:, None]}, np.arange(200) % 2


def likeness(target, prediction):
    return float((prediction @ prediction.T).mean())
'''
SETTINGS = """
outputs:
  score: {shape: [-1]}
optimize:
  source: train.py:model
  data: {evaluation: train.py:data}
  metric: roc_auc
  target: {batch_sizes: [1], threads: [1]}
  steps: [clean]
"""


TEXT_SETTINGS = """
optimize:
  source: train.py:model
  data: {evaluation: train.py:data}
  metric: train.py:likeness
  target: {batch_sizes: [1], threads: [1]}
  steps: [clean]
"""


def made(folder: Path, code: str, settings: str) -> Path:
    if AotInductor().unavailable():
        pytest.skip(AotInductor().unavailable())
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(code)
    (folder / "model.yaml").write_text(settings)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "models" / "roots", CODE, SETTINGS)


@pytest.fixture
def text_folder(tmp_path: Path) -> Path:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    folder = made(tmp_path / "models" / "words", OF_TEXT, TEXT_SETTINGS)
    text_models.tokenizer(folder / "tokenizer.json")
    return folder


def prepared(folder: Path) -> Any:
    entry = scan_model(folder)
    version = entry.versions[0]
    source = BackendSource(folder.name, version.number, folder, version.artefact, entry.config)
    return prepare(source, monotonic_ns)


def test_network_without_an_onnx_form_is_compiled_verified_and_served(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(folder, "cpu", False, True) == 0, capsys.readouterr().out
    report = json.loads(capsys.readouterr().out)["report"]
    assert report["export"]["no_onnx"]
    made = {each["name"]: each for each in report["candidates"]}
    assert "ONNX cannot express the network" in made["export → clean, 1 thread"]["reason"]
    assert made["export → aot-inductor, 1 thread"]["verdict"] == "pass"
    version = folder / "1"
    assert (version / "model.pt2").is_file()
    assert not (version / "model.onnx").exists()

    ready = prepared(folder)
    assert ready.backend_name == "torch"
    assert ready.profile, "the batcher starts from the manifest's profile"
    inputs, outputs = read_golden(version / "golden.npz")
    (got,) = ready.backend.run(Batch((inputs["x"],), len(inputs["x"])))
    np.testing.assert_allclose(got, outputs["score"], atol=1e-6)
    ready.backend.close()

    with open(version / "model.pt2", "r+b") as file:  # one byte of native code
        file.seek(-2000, 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(RepositoryError, match="not those that were verified"):
        prepared(folder)
    (version / "manifest.json").unlink()
    with pytest.raises(RepositoryError, match="native code"):
        prepared(folder)


def test_network_of_text_without_an_onnx_form_takes_text_when_compiled(
    text_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(text_folder, "cpu", False, True) == 0, capsys.readouterr().out
    version = text_folder / "1"
    assert (version / "model.pt2").is_file() and (version / "tokenizer.json").is_file()
    ready = prepared(text_folder)
    (spec,) = ready.signature.inputs
    assert (ready.backend_name, spec.name, spec.datatype) == ("torch", "text", "BYTES")
    inputs, outputs = read_golden(version / "golden.npz")
    (got,) = ready.backend.run(Batch((inputs["text"],), len(inputs["text"])))
    np.testing.assert_allclose(got, outputs["embedding"], atol=1e-5)
    ready.backend.close()
