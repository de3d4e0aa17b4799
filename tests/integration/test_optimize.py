"""The examples of docs/optimize.md, from a file to answers that equal the verified ones."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from optimize.cli import main
from optimize.errors import OptimizeError
from optimize.lock import model_lock
from optimize.progress import Progress
from optimize.run import optimise
from serve.backends.base import BackendSource
from serve.clock import monotonic_ns
from serve.executors.loader import prepare
from serve.repository.golden import read_golden
from serve.repository.scan import scan_model
from serve.tensors import Batch
from tests.support import onnx_models

DOCUMENT = Path(__file__).parents[2] / "docs" / "optimize.md"
RNG = np.random.default_rng(5)
QUICK = {"target": {"batch_sizes": [1], "threads": [1]}}


def example(name: str) -> dict[str, Any]:
    found = re.search(rf"<!-- example: {name} -->\n```yaml\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert found is not None
    assert len(found.group(1).splitlines()) < 10
    settings: dict[str, Any] = yaml.safe_load(found.group(1))
    return settings


def pipeline(folder: Path) -> None:
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    city = RNG.choice(np.array(["Köln", "Paris", "東京", np.nan], object), 400)
    age = np.where(RNG.random(400) < 0.1, np.nan, RNG.normal(40, 9, 400).round(1))
    table = pd.DataFrame({"age": age, "city": pd.Series(city, dtype=object)})
    bought = (table["city"] == "Paris").to_numpy() ^ (RNG.random(400) < 0.1)
    prepare_columns = ColumnTransformer(
        [
            ("age", SimpleImputer(strategy="median"), ["age"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    model = make_pipeline(prepare_columns, LogisticRegression()).fit(table, bought.astype(int))
    skops.io.dump(model, folder / "pipeline.skops")
    table.assign(bought=bought.astype(int)).to_csv(folder / "test.csv", index=False)


def booster(folder: Path) -> None:
    import xgboost

    rows = RNG.normal(0, 1, (500, 6)).astype(np.float32)
    target = (rows[:, 0] + rows[:, 1] ** 2 > 1).astype(np.int64)
    data = xgboost.DMatrix(rows, target)
    parameters = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    xgboost.train(parameters, data, 20).save_model(folder / "booster.json")
    np.savez(folder / "test.npz", input=rows, y=target)


def network(folder: Path) -> None:
    onnx_models.mlp(folder / "network.onnx", features=8)
    rows = RNG.normal(0, 1, (300, 8)).astype(np.float32)
    np.savez(folder / "test.npz", x=rows, y=RNG.integers(0, 2, 300))


MODULE = """
import torch


class Mixed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(4, 8)
        self.kinds = torch.nn.Embedding(10, 8)
        self.scores = torch.nn.Linear(8, 3)

    def forward(self, dense, kinds):
        hidden = torch.relu(self.dense(dense) + self.kinds(kinds).mean(1))
        return {"scores": self.scores(hidden)}


def trained():
    torch.manual_seed(0)
    return Mixed()
"""


def module(folder: Path) -> None:
    pytest.importorskip("torch")
    (folder / "net.py").write_text(MODULE)
    dense, kinds = RNG.normal(0, 1, (300, 4)), RNG.integers(0, 10, (300, 5))
    np.savez(folder / "test.npz", dense=dense, kinds=kinds, y=RNG.integers(0, 3, 300))


def settle(folder: Path, settings: dict[str, Any]) -> None:
    settings["optimize"] |= QUICK
    (folder / "model.yaml").write_text(yaml.safe_dump(settings))


@pytest.mark.parametrize(
    ("name", "make"),
    [("pipeline", pipeline), ("booster", booster), ("network", network), ("module", module)],
)
def test_document_example_goes_from_file_to_served(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path)
    settle(tmp_path, example(name))
    outcome = optimise(tmp_path, Progress(io.StringIO()))
    assert outcome.exit_code in (0, 4), outcome.report["candidates"]
    if outcome.exit_code == 4:
        pytest.skip("this machine is too busy to measure on")
    entry = scan_model(tmp_path)
    (version,) = entry.versions
    source = BackendSource(name, version.number, tmp_path, version.artefact, entry.config)
    prepared = prepare(source, monotonic_ns)
    inputs, answers = read_golden(version.folder / "golden.npz")
    arrays = tuple(inputs[spec.name] for spec in prepared.signature.inputs)
    got = prepared.backend.run(Batch(arrays, len(arrays[0])))
    for spec, array in zip(prepared.signature.outputs, got, strict=True):
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, answers[spec.name], atol=1e-6)
    assert not list(version.folder.rglob("*.pkl"))
    assert optimise(tmp_path, Progress(io.StringIO())).unchanged


def test_int8_that_its_neighbours_move_is_served_as_it_was_packaged(tmp_path: Path) -> None:
    onnx_models.mlp(tmp_path / "network.onnx", features=8, hidden=256)
    rows = RNG.normal(0, 1, (300, 8)).astype(np.float32)
    rows[1] *= 40  # beside which the others have a few steps only
    np.savez(tmp_path / "test.npz", x=rows, y=RNG.integers(0, 2, 300))
    settings = example("network")
    gates = {"batch_atol": 1, "max_metric_drop": 1, "lossy_speedup": 1}
    settings["optimize"] |= {"steps": ["quantize-dynamic"], "gates": gates}
    settings["inputs"] = {"x": {"range": [-200, 200], "default": 0}}
    settle(tmp_path, settings)
    outcome = optimise(tmp_path, Progress(io.StringIO()))
    assert outcome.exit_code == 0, outcome.report["candidates"]
    manifest = json.loads((tmp_path / "1" / "manifest.json").read_text())
    assert manifest["golden"]["batch_atol"] > manifest["golden"]["atol"]
    entry = scan_model(tmp_path)
    (version,) = entry.versions
    source = BackendSource("network", 1, tmp_path, version.artefact, entry.config)
    prepare(source, monotonic_ns).backend.close()


def test_optimise_adds_nothing_when_no_candidate_passes(tmp_path: Path) -> None:
    network(tmp_path)
    settings = example("network")
    settings["optimize"] |= {"steps": [], "gates": {"max_size_mb": 1e-6}}
    settle(tmp_path, settings)
    assert main(tmp_path, "cpu", dry_run=False, as_json=True) == 3
    assert not list(tmp_path.glob("[0-9]*"))
    results = json.loads((tmp_path / ".optimize" / "report" / "results.json").read_text())
    assert "size MB" in results["candidates"][0]["reason"]


@pytest.mark.parametrize(("settled", "code"), [(1, 0), (0, 4)])
def test_what_did_not_settle_is_measured_again_only_where_nothing_was_chosen(
    tmp_path: Path, settled: int, code: int
) -> None:
    network(tmp_path)
    settings = example("network")
    settings["optimize"]["steps"] = [{"choose": ["none", "clean"]}]
    settle(tmp_path, settings)
    assert optimise(tmp_path, Progress(io.StringIO())).exit_code == 0
    files = [path for path in tmp_path.glob(".optimize/cache/*/result.json") if profile_of(path)]
    for index, file in enumerate(files):
        found = profile_of(file)
        for row in found["rows"]:
            row["stable"] = row["original_stable"] = index < settled
            row["original_speedup"], row["original_windows"] = 2.0, [0.5, 2.0, 3.0] * 2
        file.write_text(json.dumps(found))
    settings["optimize"]["gates"] = {"min_speedup": 1}
    settle(tmp_path, settings)
    assert optimise(tmp_path, Progress(io.StringIO())).exit_code == code
    assert [file.exists() for file in files] == [code == 0] * 2


def profile_of(result: Path) -> dict[str, Any]:
    """What a step measured; nothing if it measured nothing."""
    found: dict[str, Any] = json.loads(result.read_text())
    return found if "rows" in found else {}


def test_optimise_says_what_is_wrong_with_an_evaluation_set_of_one_class(tmp_path: Path) -> None:
    network(tmp_path)
    rows = RNG.normal(0, 1, (50, 8)).astype(np.float32)
    np.savez(tmp_path / "test.npz", x=rows, y=np.zeros(50, np.int64))
    settings = example("network")
    settings["optimize"]["metric"] = "roc_auc"
    settle(tmp_path, settings)
    with pytest.raises(OptimizeError, match="step verify: the evaluation set has one class only"):
        optimise(tmp_path, Progress(io.StringIO()))


def test_optimise_refuses_a_second_run_at_once(tmp_path: Path) -> None:
    network(tmp_path)
    settle(tmp_path, example("network"))
    with (
        model_lock(tmp_path / ".optimize"),
        pytest.raises(OptimizeError, match="is being optimised already, by process"),
    ):
        optimise(tmp_path, Progress(io.StringIO()))


def test_dry_run_lists_the_candidates_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network(tmp_path)
    settle(tmp_path, example("network"))
    assert main(tmp_path, "cpu", dry_run=True, as_json=False) == 0
    assert "export → clean → quantize-dynamic, 1 thread" in capsys.readouterr().out
    assert not (tmp_path / ".optimize").exists()


def test_ctrl_c_keeps_finished_steps_and_leaves_no_version(tmp_path: Path) -> None:
    network(tmp_path)
    settle(tmp_path, example("network"))
    command = [
        sys.executable,
        "-c",
        "import sys; from serve.cli import main; main()",
        "optimize",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "source" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "finished steps are kept" in rest
    assert not list(tmp_path.glob("[0-9]*"))
    kept = list((tmp_path / ".optimize" / "cache").glob("[!.]*"))
    assert kept
