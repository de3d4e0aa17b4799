"""Ctrl-C leaves no process and no file behind."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.support import onnx_models
from tests.support.ray_server import Load, ray_server


def test_stop_under_load_leaves_nothing(tmp_path: Path) -> None:
    onnx_models.identity(tmp_path / "models/identity/1/model.onnx")
    before = set(Path("/tmp").glob("penstock-*"))
    with ray_server(tmp_path / "models", tmp_path / "server.log") as server:
        descendants = server.descendants()
        assert len(descendants) > 3
        with Load(server.http, "identity", clients=2) as load:
            load.more(100)
        assert load.wrong == []
        assert server.stop() == 0
    psutil.wait_procs(descendants, timeout=10)
    assert [process.pid for process in descendants if process.is_running()] == []
    assert set(Path("/tmp").glob("penstock-*")) <= before
