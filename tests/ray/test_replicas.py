"""Replicas on a real cluster: states, kill -9 under load, rolling update."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support import onnx_models
from tests.support.ray_server import Load, RayServer, post
from tests.support.triton_repository import write

ROOT = Path(__file__).parents[2]


def test_states_say_what_is_served_and_why_the_rest_is_not(server: RayServer) -> None:
    index = server.index()
    state, reason = index["greedy", "1"]
    assert state == "UNAVAILABLE"
    assert "64 GPU" in reason
    state, reason = index["broken", "1"]
    assert state == "UNAVAILABLE"
    assert "is not an ONNX model" in reason
    others = {model: row for model, row in index.items() if model[0] not in ("greedy", "broken")}
    assert {state for state, _ in others.values()} == {"READY"}


def test_replicas_are_as_many_as_the_settings_say(server: RayServer) -> None:
    assert len(server.replicas("pair")) == 2
    assert len(server.replicas("simple")) == 1
    assert server.replicas("greedy") == []


def test_conformance_suite_passes_unchanged(server: RayServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/conformance", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={"PENSTOCK_CONFORMANCE_AT": f"{server.http},{server.grpc}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_killed_replica_costs_no_answer(server: RayServer) -> None:
    before = {process.pid for process in server.replicas("pair")}
    with Load(server.http, "pair") as load:
        load.more(500)
        server.replicas("pair")[0].send_signal(signal.SIGKILL)
        load.more(2000)
    assert load.wrong == []
    assert load.right >= 2500
    assert len({process.pid for process in server.replicas("pair")} & before) == 1


def test_changed_settings_roll_without_losing_a_request(
    server: RayServer, repository: Path
) -> None:
    before = server.replicas("two_versions")
    others = {process.pid for process in server.replicas("mlp")}
    with Load(server.http, "two_versions") as load:
        load.more(200)
        write(
            repository,
            "two_versions/model.yaml",
            "versions: {policy: all}\nbatching: {max_batch_size: 16}\n",
        )
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(r"deleting penstock:two_versions:1:")
        server.wait_for(r"deleting penstock:two_versions:2:")
        load.more(200)
    assert load.wrong == []
    assert {process.pid for process in server.replicas("mlp")} == others
    psutil.wait_procs(before, timeout=30)
    assert [process.pid for process in before if process.is_running()] == []


def test_new_version_that_does_not_load_replaces_nothing(
    server: RayServer, repository: Path
) -> None:
    write(repository, "labelled/2/model.onnx", "this is no graph")
    with Load(server.http, "labelled", clients=2) as load:
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(r"model 'labelled' version 2 is not served")
        load.more(100)
    assert load.wrong == []
    row = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    assert post(server.http, "/v2/models/labelled/infer", {"inputs": [row]})["model_version"] == "1"
    onnx_models.identity(repository / "labelled/2/model.onnx")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(r"model 'labelled' version 2 is ready")
    server.wait_for(r"deleting penstock:labelled:1:")
    assert post(server.http, "/v2/models/labelled/infer", {"inputs": [row]})["model_version"] == "2"
