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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if AotInductor().unavailable():
        pytest.skip(AotInductor().unavailable())
    folder = tmp_path / "models" / "roots"
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(CODE)
    (folder / "model.yaml").write_text(SETTINGS)
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
