"""Models change while they are asked: by tritonclient, over HTTP and gRPC, under load."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.support import onnx_models
from tests.support.callers import TRANSPORTS, Callers, infer
from tests.support.memory import resident_bytes
from tests.support.running import RunningApp, free_ports, running

RELOADS = 50
LABEL_MOVES = 10
LOADS = 200
MIB = 1024 * 1024
PATIENCE_S = 60


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    onnx_models.scaled(root / "m/1/model.onnx", 1.0)
    return root


@pytest.fixture
def server(root: Path) -> Iterator[RunningApp]:
    with running(root, free_ports(model_control_mode="explicit", load_model=("m",))) as server:
        yield server


@pytest.fixture(params=TRANSPORTS)
def client(request: pytest.FixtureRequest, server: RunningApp) -> Iterator[Any]:
    module = TRANSPORTS[request.param]
    with module.InferenceServerClient(getattr(server, request.param)) as client:
        yield client


def index(client: Any) -> dict[str, tuple[str, str]]:
    """State and reason by ``name/version``."""
    reply = client.get_model_repository_index()
    if not isinstance(reply, list):
        reply = [
            {"name": m.name, "version": m.version, "state": m.state, "reason": m.reason}
            for m in reply.models
        ]
    return {f"{row['name']}/{row['version']}": (row["state"], row["reason"]) for row in reply}


def factor(version: int) -> float:
    """What version ``version`` of ``m`` multiplies with."""
    return float(version)


def test_tritonclient_loads_and_unloads(client: Any, root: Path) -> None:
    assert client.is_model_ready("m")
    onnx_models.scaled(root / "m/2/model.onnx", factor(2))
    onnx_models.scaled(root / "n/1/model.onnx", 1.0)
    client.load_model("m")
    assert client.is_model_ready("m", "2")
    assert index(client) == {"m/2": ("READY", ""), "n/": ("UNAVAILABLE", "unloaded")}
    client.unload_model("m")
    assert not client.is_model_ready("m")
    assert index(client)["m/2"] == ("UNAVAILABLE", "unloaded")
    client.load_model("n")
    assert client.is_model_ready("n")


def test_tritonclient_loads_with_configuration_and_files(client: Any, root: Path) -> None:
    config = json.dumps({"max_batch_size": 3})
    client.load_model("m", config=config)
    reply = client.get_model_config("m")
    size = reply["max_batch_size"] if isinstance(reply, dict) else reply.config.max_batch_size
    assert size == 3
    content = onnx_models.scaled(root.parent / "other.onnx", factor(7)).read_bytes()
    client.load_model("m", config="{}", files={"file:7/model.onnx": content})
    assert client.is_model_ready("m", "7")
    assert index(client) == {"m/7": ("READY", "")}


def test_tritonclient_is_told_what_is_wrong(client: Any, root: Path) -> None:
    with pytest.raises(InferenceServerException, match="no such model"):
        client.load_model("nobody")
    with pytest.raises(InferenceServerException, match=r"1/model\.py"):
        client.load_model("m", config="{}", files={"file:1/model.py": b"x"})
    (root / "m/2").mkdir()
    (root / "m/2/model.onnx").write_text("no model")
    with pytest.raises(InferenceServerException, match=r"m/2/model\.onnx"):
        client.load_model("m")
    state, reason = index(client)["m/2"]
    assert state == "UNAVAILABLE"
    assert "m/2/model.onnx" in reason
    assert client.is_model_ready("m", "1")


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_statuses_while_clients_do_not_decide(root: Path, mode: str) -> None:
    with running(root, free_ports(model_control_mode=mode)) as server:
        with tritonclient.http.InferenceServerClient(server.http) as client:
            with pytest.raises(InferenceServerException, match="model-control-mode") as caught:
                client.load_model("m")
            assert caught.value.status() == "503"
        with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
            with pytest.raises(InferenceServerException, match="model-control-mode") as caught:
                client.unload_model("m")
            assert caught.value.status() == "StatusCode.UNAVAILABLE"


def test_explicit_server_without_a_model_is_ready(root: Path) -> None:
    with (
        running(root, free_ports(model_control_mode="explicit")) as server,
        tritonclient.http.InferenceServerClient(server.http) as client,
    ):
        assert client.is_server_ready()
        assert not client.is_model_ready("m")
        client.load_model("m")
        assert client.is_model_ready("m")


def set_labels(root: Path, stable: int, canary: int) -> None:
    text = f"labels: {{stable: {stable}, canary: {canary}}}"
    (root / "m/model.yaml").write_text(text)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_versions_are_asked_for_by_label(server: RunningApp, root: Path, name: str) -> None:
    module = TRANSPORTS[name]
    for version in (3, 4, 5):
        onnx_models.scaled(root / f"m/{version}/model.onnx", factor(version))
    set_labels(root, stable=3, canary=4)
    with module.InferenceServerClient(getattr(server, name)) as client:
        client.load_model("m")
        assert infer(module, client, 1.0, "stable") == (3.0, "3")
        assert infer(module, client, 1.0, "canary") == (4.0, "4")
        assert infer(module, client, 1.0, model_version="canary") == (4.0, "4")
        assert infer(module, client, 1.0, model_version="5") == (5.0, "5")
        assert infer(module, client, 1.0, model_version=5) == (5.0, "5")
        assert infer(module, client, 1.0) == (3.0, "3")
        assert client.is_model_ready("m", "canary")
        assert client.get_model_metadata("m", "canary")
        with pytest.raises(InferenceServerException, match=r"canary \(4\), stable \(3\)"):
            infer(module, client, 1.0, "beta")
        with pytest.raises(InferenceServerException, match="no label 'beta'"):
            infer(module, client, 1.0, model_version="beta")
        with pytest.raises(InferenceServerException, match="leave one of them out"):
            infer(module, client, 1.0, "stable", model_version="canary")
        with pytest.raises(InferenceServerException, match="'model_version' should be"):
            infer(module, client, 1.0, model_version=True)


def test_no_request_is_lost_or_answered_wrongly_during_reloads(
    server: RunningApp, root: Path
) -> None:
    served = {1}

    def ask(module: ModuleType, client: Any, number: int) -> str:
        earliest = max(served)
        value = float(number % 1000 + 1)
        got, version = infer(module, client, value)
        if got != value * factor(int(version)):
            return f"version {version} made {got} of {value}"
        return f"version {version} after {earliest} was in" if int(version) < earliest else ""

    callers = Callers(server.http, server.grpc, ask)
    with (
        callers.calling(),
        tritonclient.http.InferenceServerClient(server.http, network_timeout=PATIENCE_S) as client,
    ):
        for version in range(2, RELOADS + 2):
            onnx_models.scaled(root / f"m/{version}/model.onnx", factor(version))
            client.load_model("m")
            served.add(version)
        assert infer(tritonclient.http, client, 1.0) == (factor(version), str(version))


def test_labels_move_at_once_under_load(server: RunningApp, root: Path) -> None:
    """What stands for ``stable`` is never later than what stands for ``canary``."""
    onnx_models.scaled(root / "m/2/model.onnx", factor(2))
    set_labels(root, stable=1, canary=2)
    admin = tritonclient.http.InferenceServerClient(server.http, network_timeout=PATIENCE_S)
    admin.load_model("m")

    def ask(module: ModuleType, client: Any, number: int) -> str:
        stable = infer(module, client, 1.0, "stable")
        canary = infer(module, client, 1.0, "canary")
        return "" if stable[0] < canary[0] else f"stable was {stable}, then canary {canary}"

    with admin, Callers(server.http, server.grpc, ask).calling():
        for version in range(3, LABEL_MOVES + 3):
            onnx_models.scaled(root / f"m/{version}/model.onnx", factor(version))
            set_labels(root, stable=version - 1, canary=version)
            admin.load_model("m")


def test_loads_and_unloads_leave_memory_flat(server: RunningApp, root: Path) -> None:
    size_mib = onnx_models.mlp(root / "large/1/model.onnx", hidden=1024).stat().st_size / MIB
    rss_mib = []
    with tritonclient.http.InferenceServerClient(server.http, network_timeout=PATIENCE_S) as client:
        for _ in range(LOADS):
            client.load_model("large")
            client.unload_model("large")
            rss_mib.append(resident_bytes() / MIB)
    early, late = np.median(rss_mib[50:100]), np.median(rss_mib[150:])
    assert late - early < size_mib, f"from {early:.1f} to {late:.1f} MiB"
