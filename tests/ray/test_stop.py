"""Ctrl-C leaves no process and no file behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from tests.support import onnx_models
from tests.support.ray_server import POLL_S, START_S, STOP_S, Load, RayServer, ray_server
from tests.support.triton_repository import write

EARLY = ((signal.SIGINT, 0.0), (signal.SIGTERM, 1.0), (signal.SIGINT, 2.0))
"""A signal, and when after the folder is there: how far the start is then, is the machine's
business."""


def folders() -> set[Path]:
    return set(Path("/tmp").glob("penstock-ray-*"))


def assert_nothing_is_left(processes: Iterable[psutil.Process], before: set[Path]) -> None:
    _, alive = psutil.wait_procs(list(processes), timeout=STOP_S)
    assert alive == []
    assert folders() <= before


def test_stop_under_load_leaves_nothing(tmp_path: Path) -> None:
    onnx_models.identity(tmp_path / "models/identity/1/model.onnx")
    before = folders()
    with ray_server(tmp_path / "models", tmp_path / "server.log") as server:
        descendants = server.descendants()
        assert len(descendants) > 3
        with Load(server.http, "identity", clients=2) as load:
            load.more(100)
        assert load.wrong == []
        assert server.stop() == 0
    assert_nothing_is_left(descendants, before)


@pytest.mark.parametrize(("number", "after_s"), EARLY)
def test_stop_while_it_starts_leaves_nothing(
    tmp_path: Path, number: signal.Signals, after_s: float
) -> None:
    onnx_models.identity(tmp_path / "models/identity/1/model.onnx")
    before = folders()
    server = RayServer(tmp_path / "models", tmp_path / "server.log")
    seen: set[psutil.Process] = set()
    try:
        give_up = time.monotonic() + START_S
        while folders() <= before and time.monotonic() < give_up:
            time.sleep(POLL_S)
        time.sleep(after_s)
        seen.update(server.descendants())
        server.process.send_signal(number)
        server.process.wait(STOP_S)
    finally:
        server.process.kill()
        server.process.wait()
    assert "Traceback" not in server.log()
    assert_nothing_is_left(seen, before)


def test_second_signal_ends_all_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    onnx_models.identity(tmp_path / "models/identity/1/model.onnx")
    before = folders()
    with ray_server(tmp_path / "models", tmp_path / "server.log") as server:
        descendants = server.descendants()
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_S) == 130
    assert_nothing_is_left(descendants, before)


def test_stop_does_not_wait_for_a_replica_that_no_node_can_have(tmp_path: Path) -> None:
    onnx_models.identity(tmp_path / "models/identity/1/model.onnx")
    onnx_models.identity(tmp_path / "models/greedy/1/model.onnx")
    write(tmp_path / "models", "greedy/model.yaml", "resources: {gpus: 64}\n")
    with ray_server(tmp_path / "models", tmp_path / "server.log", "--drain-timeout=100") as server:
        assert server.index()["greedy", "1"][0] == "UNAVAILABLE"
        assert server.stop() == 0  # within STOP_S
