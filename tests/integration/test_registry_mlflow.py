"""Models out of a real MLflow registry and into it; SQLite is behind it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from tritonclient.http import InferenceServerClient

from serve.clock import monotonic_ns
from serve.config.source import parse_reference
from serve.errors import RepositoryError
from serve.executors.loader import prepare, source_of
from serve.registry.follow import SourceFollower
from serve.registry.mlflow_client import MlflowRegistry, open_mlflow
from serve.registry.pull import Pulled, pull
from serve.registry.push import push
from serve.repository.scan import scan_model
from tests.support import onnx_models
from tests.support.mlflow_server import MlflowServer, need_mlflow
from tests.support.running import PATIENCE_S, RunningApp, free_ports, running

PENSTOCK = str(Path(sys.executable).with_name("penstock"))
RNG = np.random.default_rng(7)
ROWS = RNG.normal(size=(200, 4)).astype(np.float32)
TARGET = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(np.int64)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    need_mlflow()
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow itself writes into the environment ends with the test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)


@pytest.fixture
def registry(server: MlflowServer) -> MlflowRegistry:
    return open_mlflow(server.url)


@pytest.fixture
def client(registry: MlflowRegistry) -> Any:
    """MLflow's own."""
    return registry._client


@pytest.fixture
def name() -> str:
    """A registered model of the test's own."""
    return f"m-{uuid.uuid4().hex[:12]}"


def add_model(root: Path, source: str, name: str = "m") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(f"source: {source}\n")
    return folder


def log_model(server: MlflowServer, flavour: str, model: Any, name: str, **options: Any) -> None:
    """Register a model as MLflow's users do."""
    import importlib

    import mlflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"mlflow.{flavour}")
        mlflow.set_tracking_uri(server.url)
        with mlflow.start_run(experiment_id="0"):
            module.log_model(
                model,
                name="model",
                registered_model_name=name,
                pip_requirements=[flavour],
                **options,
            )


def log_scaled(server: MlflowServer, name: str, folder: Path, *factors: float) -> None:
    """Versions 1, 2, ... that multiply by these factors."""
    import onnx

    for factor in factors:
        graph = onnx_models.scaled(folder / f"{factor}.onnx", factor)
        log_model(server, "onnx", onnx.load(graph), name)


def answers_of(pulled: Pulled, rows: dict[str, Any]) -> dict[str, Any]:
    """What the server would answer, of the version as it loads it: checksums, golden samples."""
    entry = scan_model(pulled.version.parent)
    (version,) = [each for each in entry.versions if each.folder == pulled.version]
    prepared = prepare(source_of(entry, version), monotonic_ns)
    signature = prepared.signature
    arrays = tuple(rows[spec.name] for spec in signature.inputs)
    from serve.tensors import Batch

    outputs = prepared.backend.run(Batch(arrays, len(arrays[0])))
    prepared.backend.close()
    return {spec.name: array for spec, array in zip(signature.outputs, outputs, strict=True)}


def answer(server: RunningApp, name: str = "m", version: str = "") -> float:
    given = tritonclient.http.InferInput("x", [1, 1], "FP32")
    given.set_data_from_numpy(np.ones((1, 1), np.float32))
    with InferenceServerClient(server.http) as client:
        reply = client.infer(name, [given], model_version=version)
        return float(reply.as_numpy("y")[0, 0])


def test_onnx_is_taken_as_it_is_and_once(
    server: MlflowServer, registry: MlflowRegistry, client: Any, name: str, tmp_path: Path
) -> None:
    log_scaled(server, name, tmp_path, 3.0)
    client.set_registered_model_alias(name, "champion", "1")
    folder = add_model(tmp_path / "models", f"models:/{name}@champion")
    pulled = pull(folder, registry)
    assert (pulled.version, pulled.new) == (folder / "1", True)
    assert answers_of(pulled, {"x": np.ones((2, 1), np.float32)})["y"].tolist() == [[3.0], [3.0]]
    lineage = json.loads((folder / "1/manifest.json").read_text())["lineage"]["registry"]
    version = client.get_model_version(name, "1")
    assert lineage["registry"] == server.url
    assert (lineage["model"], lineage["version"]) == (name, 1)
    assert lineage["run_id"] == version.run_id
    seen = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not pull(folder, registry).new
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == seen


def sklearn_model() -> tuple[Any, dict[str, Any], dict[str, Any]]:
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = pd.DataFrame(ROWS, columns=list("abcd"))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(table, TARGET)
    rows = {column: ROWS[:, [index]] for index, column in enumerate("abcd")}
    expected = {"probabilities": model.predict_proba(table)}
    return model, {"signature": infer_signature(table)}, {"rows": rows, "expected": expected}


def lightgbm_model() -> tuple[Any, dict[str, Any], dict[str, Any]]:
    import lightgbm

    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    model = lightgbm.train(parameters, lightgbm.Dataset(ROWS, TARGET), 5)
    score = np.asarray(model.predict(ROWS))
    expected = {"probabilities": np.stack([1 - score, score], axis=1)}
    return model, {}, {"rows": {"input": ROWS}, "expected": expected}


def xgboost_model() -> tuple[Any, dict[str, Any], dict[str, Any]]:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(ROWS, TARGET)
    expected = {"probabilities": model.predict_proba(ROWS)}
    return model, {"input_example": ROWS[:3]}, {"rows": {"input": ROWS}, "expected": expected}


def pytorch_model() -> tuple[Any, dict[str, Any], dict[str, Any]]:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    with torch.inference_mode():
        expected = {"output": model(torch.from_numpy(ROWS)).numpy()}
    return model, {"input_example": ROWS[:3]}, {"rows": {"input": ROWS}, "expected": expected}


@pytest.mark.parametrize("make", [sklearn_model, lightgbm_model, xgboost_model, pytorch_model])
def test_other_flavours_answer_as_they_did(
    server: MlflowServer, registry: MlflowRegistry, name: str, tmp_path: Path, make: Any
) -> None:
    model, options, asked = make()
    log_model(server, make.__name__.removesuffix("_model"), model, name, **options)
    pulled = pull(add_model(tmp_path, f"models:/{name}/1"), registry)
    found = answers_of(pulled, asked["rows"])
    for output, expected in asked["expected"].items():
        np.testing.assert_allclose(found[output], expected, rtol=1e-4, atol=1e-5)


def test_server_follows_an_alias_forth_and_back(
    server: MlflowServer, registry: MlflowRegistry, client: Any, name: str, tmp_path: Path
) -> None:
    log_scaled(server, name, tmp_path, 1.0, 2.0)
    client.set_registered_model_alias(name, "champion", "1")
    folder = add_model(tmp_path / "models", f"models:/{name}@champion")
    pull(folder, registry)
    settings = free_ports(model_control_mode="poll", repository_poll_secs=0.1)
    follower = SourceFollower(folder.parent, lambda: open_mlflow(server.url))
    over = follower.start(0.1)
    try:
        with running(folder.parent, settings) as app:
            assert answer(app) == 1.0
            for version, factor in (("2", 2.0), ("1", 1.0)):
                client.set_registered_model_alias(name, "champion", version)
                give_up_s = time.monotonic() + PATIENCE_S
                while answer(app) != factor:
                    assert time.monotonic() < give_up_s, "the alias is not followed"
                    time.sleep(0.02)
                assert answer(app, version="champion") == factor
            client.delete_registered_model_alias(name, "champion")
            assert answer(app) == 1.0
    finally:
        over.set()


def test_pushed_version_comes_back_the_same_and_once(
    registry: MlflowRegistry, client: Any, name: str, tmp_path: Path
) -> None:
    version = onnx_models.scaled(tmp_path / "m/7/model.onnx", 7.0).parent
    (version / "report").mkdir()
    (version / "report/index.html").write_text("<p>report</p>")
    made, new = push(version, name, registry, "champion")
    again, new_again = push(version, name, registry, "champion")
    assert (made.number, new, again, new_again) == (1, True, made, False)
    run = client.get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["penstock.version"] == "m/7"
    pulled = pull(add_model(tmp_path / "models", f"models:/{name}@champion"), registry)
    assert (pulled.version / "model.onnx").read_bytes() == (version / "model.onnx").read_bytes()
    assert (pulled.version / "report/index.html").is_file()
    import mlflow.onnx

    mlflow.set_tracking_uri(registry.where)
    assert mlflow.onnx.load_model(f"models:/{name}/1").graph.output[0].name == "y"


def test_optimised_version_is_registered_with_what_is_known_of_it(
    server: MlflowServer, registry: MlflowRegistry, client: Any, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    onnx_models.mlp(folder / "network.onnx", features=8)
    np.savez(
        folder / "test.npz",
        x=RNG.normal(0, 1, (300, 8)).astype(np.float32),
        y=RNG.integers(0, 2, 300),
    )
    optimise = {
        "source": "network.onnx",
        "data": {"evaluation": "test.npz", "target": "y"},
        "metric": "roc_auc",
        "steps": ["clean"],
        "target": {"batch_sizes": [1], "threads": [1]},
    }
    (folder / "model.yaml").write_text(json.dumps({"optimize": optimise}))
    command = [PENSTOCK, "optimize", str(folder), "--register", name, "--alias", "champion"]
    away = subprocess.run(
        [*command, "--tracking-uri", "http://127.0.0.1:9"], capture_output=True, text=True
    )
    assert away.returncode == 5, away.stderr
    assert (folder / "1/model.onnx").is_file()
    assert f"penstock models push {folder / '1'} --name {name} --alias champion" in away.stderr
    done = subprocess.run([*command, "--tracking-uri", server.url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    version = client.get_model_version_by_alias(name, "champion")
    run = client.get_run(version.run_id).data
    assert run.params["step0"] == "export"
    assert "latency_p50_ms.batch_1" in run.metrics
    assert any("roc_auc" in metric for metric in run.metrics)
    assert json.loads(run.tags["penstock.source_files"]).keys() >= {"network.onnx"}
    files = {entry.path for entry in client.list_artifacts(version.run_id, "model/report")}
    assert "model/report/index.html" in files
    pulled = pull(add_model(tmp_path / "models", f"models:/{name}@champion"), registry)
    assert answers_of(pulled, {"x": np.ones((1, 8), np.float32)})["probability"].shape == (1, 1)
    manifest = json.loads((pulled.version / "manifest.json").read_text())
    assert (manifest["profiles"], manifest["golden"]["path"]) == (
        json.loads((folder / "1/manifest.json").read_text())["profiles"],
        "golden.npz",
    )


@pytest.mark.parametrize(
    ("reference", "remedy"),
    [
        ("models:/{name}@nobody", "its aliases are champion \\(1\\), its latest version is 1"),
        ("models:/{name}/99", "has no version 99"),
        ("models:/never-registered@champion", "register one, or correct the name"),
    ],
)
def test_reference_to_nothing_says_what_there_is(
    server: MlflowServer,
    registry: MlflowRegistry,
    client: Any,
    name: str,
    tmp_path: Path,
    reference: str,
    remedy: str,
) -> None:
    log_scaled(server, name, tmp_path, 1.0)
    client.set_registered_model_alias(name, "champion", "1")
    with pytest.raises(RepositoryError, match=remedy):
        registry.resolve(parse_reference(reference.format(name=name)))
