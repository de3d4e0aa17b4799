"""Locust against a real server: a process of its own, because it patches the standard library."""

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.context import penstock_command
from benchmarks.process import free_port
from benchmarks.subject import Launch, serve

ROOT = Path(__file__).parents[4]
BUILT = all((ROOT / f"models/{name}/1/model.onnx").exists() for name in ("fraud", "digits"))

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="no locust here"),
    pytest.mark.skipif(not BUILT, reason="models/fraud and models/digits are not built"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Penstock with the models that come with it."""
    launch = Launch(ROOT / "models", penstock=penstock_command())
    with serve(launch, tmp_path_factory.mktemp("locust") / "log") as server:
        yield server


def run(folder, http_port, grpc_port):
    command = [sys.executable, "-m", "locust", "-f", "benchmarks/locust/locustfile.py"]
    command += ["--host", f"http://127.0.0.1:{http_port}", "--grpc-host", f"127.0.0.1:{grpc_port}"]
    command += ["--headless", "--users", "8", "--spawn-rate", "8", "--run-time", "3s"]
    command += ["--csv", str(folder / "out"), "--html", str(folder / "out.html")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_headless_run_asks_both_models_over_both_protocols(server, tmp_path):
    done = run(tmp_path, server.http_port, server.grpc_port)

    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "out_stats.csv").read_text().splitlines()))
    asked = {(row["Type"], row["Name"]) for row in rows if int(row["Request Count"])}
    assert {("POST", "infer fraud"), ("ModelInfer", "infer fraud")} <= asked
    assert (tmp_path / "out.html").stat().st_size > 0


def test_headless_run_fails_when_nobody_answers(server, tmp_path):
    assert run(tmp_path, server.http_port, free_port()).returncode == 1
