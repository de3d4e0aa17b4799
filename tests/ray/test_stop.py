"""Ctrl-C leaves no process and no file behind."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.support import onnx_models
from tests.support.ray_server import Load, ray_server
from tests.support.triton_repository import write


def test_stop_under_load_leaves_nothing(tmp_path: Path) -> None:
    onnx_models.identity(tmp_path / "models/identity/1/model.onnx")
    before = set(Path("/tmp").glob("penstock-ray-*"))
    with ray_server(tmp_path / "models", tmp_path / "server.log") as server:
        descendants = server.descendants()
        assert len(descendants) > 3
        with Load(server.http, "identity", clients=2) as load:
            load.more(100)
        assert load.wrong == []
        assert server.stop() == 0
    psutil.wait_procs(descendants, timeout=10)
    assert [process.pid for process in descendants if process.is_running()] == []
    assert set(Path("/tmp").glob("penstock-ray-*")) <= before


def test_stop_does_not_wait_for_a_replica_that_no_node_can_have(tmp_path: Path) -> None:
    onnx_models.identity(tmp_path / "models/identity/1/model.onnx")
    onnx_models.identity(tmp_path / "models/greedy/1/model.onnx")
    write(tmp_path / "models", "greedy/model.yaml", "resources: {gpus: 64}\n")
    with ray_server(tmp_path / "models", tmp_path / "server.log", "--drain-timeout=100") as server:
        assert server.index()["greedy", "1"][0] == "UNAVAILABLE"
        assert server.stop() == 0  # within STOP_S
