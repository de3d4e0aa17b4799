"""Students from the files of a user to answers of a server's backend."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from optimize.errors import OptimizeError
from optimize.progress import Progress
from optimize.run import Outcome, optimise
from serve.backends.base import BackendSource
from serve.clock import monotonic_ns
from serve.executors.loader import prepare
from serve.repository.golden import read_golden
from serve.repository.scan import scan_model
from serve.tensors import Batch

pytest.importorskip("torch")
RNG = np.random.default_rng(8)
SHORT = {"epochs": 4, "seeds": 1}


def settle(folder: Path, source: str, distil: dict[str, Any], **more: Any) -> None:
    settings = {
        "source": source,
        "data": {"evaluation": "test.csv", "target": "bought", "training": "train.csv"},
        "metric": "roc_auc",
        "steps": [{"distil": {**SHORT, **distil}}],
        "gates": {"max_metric_drop": 1.0, "lossy_shrink": 1, "lossy_speedup": 1},
        "target": {"batch_sizes": [1], "threads": [1]},
        **more,
    }
    (folder / "model.yaml").write_text(yaml.safe_dump({"optimize": settings}))


def shop(rows: int) -> pd.DataFrame:
    city = RNG.choice(np.array(["Köln", "Paris", "東京", np.nan], object), rows)
    age = np.where(RNG.random(rows) < 0.1, np.nan, RNG.normal(40, 9, rows).round(1))
    table = pd.DataFrame({"age": age, "city": pd.Series(city, dtype=object)})
    return table.assign(bought=((table["city"] == "Paris") ^ (RNG.random(rows) < 0.1)).astype(int))


def pipeline(folder: Path) -> None:
    """A model of words and gaps, with rows to learn from and to be judged by."""
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    table = shop(500)
    columns = ColumnTransformer(
        [
            ("age", SimpleImputer(strategy="median"), ["age"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    model = make_pipeline(columns, RandomForestClassifier(30, random_state=1))
    model.fit(table[["age", "city"]], table["bought"])
    skops.io.dump(model, folder / "pipeline.skops")
    table.to_csv(folder / "train.csv", index=False)
    shop(200).to_csv(folder / "test.csv", index=False)


TOWER = """
import numpy as np, torch
from torch import nn

class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.last = nn.Linear(4, 3)
    def forward(self, x):
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return {"scores": self.last(x)}

def trained():
    torch.manual_seed(0)
    return Tower()

class Small(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.last = nn.Linear(last.in_features, last.out_features)
    def forward(self, x):
        return {"scores": self.last(x)}

def smaller(teacher):
    return Small(teacher.last)

def rows(count, seed):
    return np.random.default_rng(seed).normal(0, 1, (count, 4)).astype(np.float32)

def judged():
    return {"x": rows(90, 1)}, np.arange(90) % 3

def training():
    return {"x": rows(200, 2)}, np.arange(200) % 3
"""


def run(folder: Path) -> Outcome:
    outcome = optimise(folder, Progress(io.StringIO()))
    assert outcome.exit_code in (0, 4), outcome.report["candidates"]
    if outcome.exit_code == 4:
        pytest.skip("this machine is too busy to measure on")
    return outcome


def served_as_verified(folder: Path) -> None:
    entry = scan_model(folder)
    (version,) = entry.versions
    source = BackendSource("m", version.number, folder, version.artefact, entry.config)
    prepared = prepare(source, monotonic_ns)
    inputs, answers = read_golden(version.folder / "golden.npz")
    arrays = tuple(inputs[spec.name] for spec in prepared.signature.inputs)
    got = prepared.backend.run(Batch(arrays, len(arrays[0])))
    for spec, array in zip(prepared.signature.outputs, got, strict=True):
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, answers[spec.name], atol=1e-6)


def test_a_student_takes_the_place_of_a_pipeline_with_words_and_gaps(tmp_path: Path) -> None:
    pipeline(tmp_path)
    settle(tmp_path, "pipeline.skops", {"hidden": [16], "epochs": 20, "batch_rows": 16})
    outcome = run(tmp_path)
    (candidate,) = outcome.report["candidates"]
    found = candidate["distil"]["metrics"]["roc_auc"]
    assert found["student"] > 0.8 and len(found["seeds"]) == 1
    assert outcome.version is not None
    manifest = json.loads((outcome.version / "manifest.json").read_text())
    assert manifest["lineage"]["distil"] == candidate["distil"]
    names = [each["name"] for each in manifest["signature"]["inputs"]]
    assert names == ["age", "city"]
    assert [each["name"] for each in manifest["signature"]["outputs"]] == [
        "label",
        "probabilities",
    ]
    served_as_verified(tmp_path)
    assert optimise(tmp_path, Progress(io.StringIO())).unchanged


def test_students_take_the_place_of_a_network(tmp_path: Path) -> None:
    (tmp_path / "tower.py").write_text(TOWER)
    data = {"evaluation": "tower.py:judged", "training": "tower.py:training"}
    steps = [
        {
            "choose": [
                {"distil": {**SHORT, "student": "layers", "count": 2}},
                {"distil": {**SHORT, "student": "tower.py:smaller"}},
            ]
        }
    ]
    settle(tmp_path, "tower.py:trained", {}, data=data, metric="accuracy", steps=steps)
    for candidate in run(tmp_path).report["candidates"]:
        assert candidate["distil"]["kind"] == "classes"
        assert candidate["verdict"] == "pass"
    served_as_verified(tmp_path)


def test_rows_to_learn_from_are_asked_for(tmp_path: Path) -> None:
    settle(tmp_path, "m.onnx", {}, data={"evaluation": "test.csv"})
    with pytest.raises(OptimizeError, match=r"no rows to learn from.*optimize\.data\.training"):
        optimise(tmp_path, Progress(io.StringIO()))


def test_distil_is_refused_after_other_steps(tmp_path: Path) -> None:
    settle(tmp_path, "m.onnx", {}, steps=["clean", "distil"])
    with pytest.raises(OptimizeError, match="put it into the first stage"):
        optimise(tmp_path, Progress(io.StringIO()))


def test_ctrl_c_in_training_keeps_what_was_asked_of_the_teacher(tmp_path: Path) -> None:
    pipeline(tmp_path)
    settle(tmp_path, "pipeline.skops", {"epochs": 100_000, "patience": 100_000})
    code = "import sys; from serve.cli import main; main()"
    command = [sys.executable, "-c", code, "optimize", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "teach" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "finished steps are kept" in rest
    assert list(tmp_path.glob(".optimize/cache/[!.]*/lessons.npz"))
    assert not list(tmp_path.glob("[0-9]*"))
