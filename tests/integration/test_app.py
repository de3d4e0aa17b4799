"""The ``penstock`` command as its users run it: a process, its signals, its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import onnx_models
from tests.support.command import PATIENCE_S, Server, penstock
from tests.support.triton_repository import write

ROOT = Path(__file__).parents[2]

SLOW_MODEL = """
import time
from pathlib import Path

class Model:
    def load(self, context):
        self.signs = Path(context.parameters["signs"])

    def predict(self, inputs):
        if (inputs["x"] == 99).any():
            (self.signs / "entered").touch()
            while not (self.signs / "go").exists():
                time.sleep(0.005)
        return {"y": inputs["x"]}
"""

SLOW_SETTINGS = """
inputs: {{x: {{datatype: FP32, shape: [-1, 1]}}}}
outputs: {{y: {{datatype: FP32, shape: [-1, 1]}}}}
parameters: {{signs: "{signs}"}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An MLP, and a model that holds a request of 99 until the file ``go`` is there."""
    root = tmp_path / "models"
    onnx_models.mlp(root / "mlp/1/model.onnx")
    write(root, "slow/1/model.py", SLOW_MODEL)
    write(root, "slow/model.yaml", SLOW_SETTINGS.format(signs=tmp_path))
    return root


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.close()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
        return json.load(reply)


def infer(address: str, model: str, shape: list[int], data: list[float]) -> Any:
    tensor = {"name": "x", "datatype": "FP32", "shape": shape, "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    with urllib.request.urlopen(
        f"{address}/v2/models/{model}/infer", body, timeout=PATIENCE_S
    ) as reply:
        return json.load(reply)["outputs"][0]["data"]


def wait_for_file(path: Path) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < give_up_s, f"{path.name} did not appear"
        time.sleep(0.005)


# serve


def test_serve_says_where_it_listens_and_answers_there(
    repository: Path, servers: list[Server]
) -> None:
    servers.append(server := Server(repository))
    address = server.http()
    pattern = r"HTTP on 127\.0\.0\.1:\d+, gRPC on 127\.0\.0\.1:\d+, admin on 127\.0\.0\.1:\d+"
    server.wait_for(pattern)
    assert get(f"{address}/v2/health/ready") == {"ready": True}
    assert len(infer(address, "mlp", [1, 30], [0.0] * 30)) == 1
    server.process.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_what_it_accepted_before_it_ends(
    repository: Path, servers: list[Server], tmp_path: Path, number: signal.Signals
) -> None:
    servers.append(server := Server(repository))
    address = server.http()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(infer, address, "slow", [1, 1], [99.0])
        wait_for_file(tmp_path / "entered")
        server.process.send_signal(number)
        server.wait_for("draining")
        assert server.process.poll() is None
        with pytest.raises(OSError):  # refused, reset, or told that it is not ready
            get(f"{address}/v2/health/ready")
        (tmp_path / "go").touch()
        assert answer.result(PATIENCE_S) == [99.0]
    assert server.exit_code() == 0


def test_serve_ends_at_once_when_it_is_told_twice(
    repository: Path, servers: list[Server], tmp_path: Path
) -> None:
    servers.append(server := Server(repository))
    address = server.http()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(infer, address, "slow", [1, 1], [99.0])
        wait_for_file(tmp_path / "entered")
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        server.process.send_signal(signal.SIGTERM)
        assert server.exit_code() == 130
        with pytest.raises(OSError):
            answer.result(PATIENCE_S)


def test_serve_ends_in_time_when_a_model_hangs(
    repository: Path, servers: list[Server], tmp_path: Path
) -> None:
    servers.append(server := Server(repository, "--drain-timeout=0.2"))
    address = server.http()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(infer, address, "slow", [1, 1], [99.0])
        wait_for_file(tmp_path / "entered")
        server.process.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        with pytest.raises(OSError):
            answer.result(PATIENCE_S)


@pytest.mark.parametrize("flag", ["--http-port", "--grpc-port", "--admin-port"])
def test_serve_names_the_flag_when_a_port_is_taken(
    repository: Path, servers: list[Server], flag: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        servers.append(server := Server(repository, f"{flag}={port}"))
        assert server.exit_code() == 2
    text = "".join(server.lines)
    assert str(port) in text
    assert flag in text
    assert "Traceback" not in text


def test_serve_says_what_is_wrong_when_there_is_no_repository(
    tmp_path: Path, servers: list[Server]
) -> None:
    servers.append(server := Server(tmp_path / "nowhere"))
    assert server.exit_code() == 2
    assert "nowhere" in "".join(server.lines)


def test_serve_goes_on_with_the_good_models_and_ends_when_strict(
    repository: Path, servers: list[Server]
) -> None:
    write(repository, "broken/1/model.onnx", "this is no graph")
    servers.append(lenient := Server(repository))
    assert len(infer(lenient.http(), "mlp", [1, 30], [0.0] * 30)) == 1
    servers.append(strict := Server(repository, "--strict"))
    assert strict.exit_code() == 1
    strict.wait_for("model 'broken' version 1 is not served")


def test_serve_logs_json_that_parses(repository: Path, servers: list[Server]) -> None:
    write(repository, "broken/1/model.onnx", "this is no graph")
    servers.append(server := Server(repository, "--log-format=json", "--access-log"))
    address = server.http()
    infer(address, "mlp", [1, 30], [0.0] * 30)
    server.process.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    events = [json.loads(line) for line in server.lines]
    assert all({"time", "level", "logger", "message"} <= event.keys() for event in events)
    (access,) = [event for event in events if event["logger"] == "penstock.access"]
    assert (access["model"], access["status"], access["protocol"]) == ("mlp", "ok", "http")


# check and init


def test_check_names_file_field_and_remedy(repository: Path) -> None:
    write(repository, "wrong/model.yaml", "batching: {max_batch_size: -3}\n")
    onnx_models.mlp(repository / "wrong/1/model.onnx")
    done = penstock("check", str(repository))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "wrong/model.yaml" in line
    assert "batching.max_batch_size" in line
    assert line.endswith(")"), "the remedy stands at the end"
    assert "ok   mlp/1" in done.stdout


def test_check_goes_on_and_exits_as_usual_when_a_model_hangs_in_native_code(
    repository: Path,
) -> None:
    onnx_models.endless(repository / "endless/1/model.onnx")
    done = penstock("check", str(repository), "--load-timeout=1")
    assert done.returncode == 1, done.stderr
    assert "FAIL endless/1" in done.stdout
    assert "ok   mlp/1" in done.stdout


def test_check_prints_json_for_scripts(repository: Path) -> None:
    done = penstock("check", str(repository), "--json")
    assert done.returncode == 0
    assert {finding["model"] for finding in json.loads(done.stdout)} == {"mlp", "slow"}


def test_init_makes_a_model_that_check_accepts(tmp_path: Path) -> None:
    source = onnx_models.mlp(tmp_path / "fraud.onnx")
    made = penstock("init", "fraud", "--from", str(source), "--repo", str(tmp_path / "new"))
    assert made.returncode == 0, made.stderr
    assert penstock("check", str(tmp_path / "new")).returncode == 0
    again = penstock("init", "fraud", "--from", str(source), "--repo", str(tmp_path / "new"))
    assert again.returncode == 2
    assert "fraud" in again.stderr


# imports


@pytest.mark.parametrize("module", ["serve", "serve.app", "serve.cli"])
def test_import_loads_no_runtime(module: str) -> None:
    heavy = "{'ray', 'torch', 'onnxruntime', 'onnx', 'tensorrt'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def documented(language: str, marker: str) -> str:
    """The code block of docs/lifecycle.md in ``language`` that has ``marker`` in it."""
    page = (ROOT / "docs" / "lifecycle.md").read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.S)
    return next(block for block in blocks if marker in block)


def test_documented_life_of_a_model(servers: list[Server], tmp_path: Path) -> None:
    """The commands of docs/lifecycle.md, in their order."""
    for path in ("models/fraud/3/model.onnx", "build/4/model.onnx", "new.onnx"):
        onnx_models.scaled(tmp_path / path, 2.0)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}
    (tmp_path / "request.json").write_text(json.dumps({"inputs": [tensor]}))
    flags = ("--model-control-mode=explicit", "--load-model=fraud")
    servers.append(server := Server(tmp_path / "models", *flags))
    address = server.http()

    def run(*command: str) -> str:
        environment = os.environ | {"SERVER_PID": str(server.process.pid)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    def shell(marker: str) -> str:
        return run("sh", "-ec", documented("sh", marker).replace("localhost:8000", address))

    def answers(version: str = "") -> str:
        path = f"models/fraud/versions/{version}" if version else "models/fraud"
        body = (tmp_path / "request.json").read_bytes()
        with urllib.request.urlopen(f"{address}/v2/{path}/infer", body, PATIENCE_S) as reply:
            return str(json.load(reply)["model_version"])

    shell("mv models/fraud/.4")
    python = documented("python", "load_model").replace("localhost:8000", address[len("http://") :])
    assert "'version': '5', 'state': 'UNAVAILABLE'" in run(sys.executable, "-c", python)

    (tmp_path / "models/fraud/model.yaml").write_text(documented("yaml", "labels:"))
    with urllib.request.urlopen(f"{address}/v2/repository/models/fraud/load", b"", PATIENCE_S):
        assert answers() == "3"
    assert json.loads(shell("versions/canary/infer"))["model_version"] == "4"
    settings = tmp_path / "models/fraud/model.yaml"
    settings.write_text(settings.read_text().replace("stable: 3", "stable: 4"))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: answers() == "4")
    shell("kill -HUP")
    until(lambda: answers() == "3")
    server.process.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0


def test_documented_traffic_of_a_model(servers: list[Server], tmp_path: Path) -> None:
    """The commands of docs/lifecycle.md on traffic, in their order."""
    for version in (3, 4):
        onnx_models.scaled(tmp_path / f"models/fraud/{version}/model.onnx", 2.0)
    settings = tmp_path / "models/fraud/model.yaml"
    settings.write_text(documented("yaml", "labels:") + documented("yaml", "traffic:"))
    servers.append(server := Server(tmp_path / "models"))
    addresses = server.addresses()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PENSTOCK_ADMIN": addresses["admin"]}

    def shell(marker: str) -> str:
        commands = documented("sh", marker).replace("localhost:8000", addresses["http"])
        done = subprocess.run(
            ["sh", "-ec", commands], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def traffic() -> Any:
        return get(f"http://{addresses['admin']}/models/fraud/traffic")

    assert traffic()["from_model_yaml"]
    assert {arm["version"]: arm["weight"] for arm in traffic()["arms"]} == {3: 0.95, 4: 0.05}
    assert "'x-user'" in shell("models split")
    assert not traffic()["from_model_yaml"]
    shell("/feedback")
    assert all(arm["outcomes"]["number"] == 1 for arm in traffic()["arms"])
    shell("models split fraud\n")
    assert "copies" in shell("models shadow")
    assert traffic()["shadow"] is None
    assert "version 4" in shell("models rollout")
    until(lambda: traffic()["rollout"]["step"] == 0)
    assert "chargebacks rise" in shell("models rollback")
    assert traffic()["rollout"]["status"] == "rolled_back"
    assert "trained on November" in shell("models audit")
    assert traffic()["from_model_yaml"]


def until(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
