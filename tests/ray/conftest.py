"""One server on one local cluster for all tests here; without Ray they are skipped."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import onnx_models
from tests.support.ray_server import RayServer, ray_server
from tests.support.triton_repository import triton_repository, write

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whoever counts processes, or what they have done, comes before those are killed.
    items.sort(key=lambda item: item.path == HERE / "test_faults.py")
    absent = importlib.util.find_spec("ray") is None
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.timeout(400))
            if absent:
                item.add_marker(pytest.mark.skip(reason="needs Ray: the extra `ray`"))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conformance suite's models, two replicas of one, and one that no node can have."""
    root = triton_repository(tmp_path_factory.mktemp("models"))
    onnx_models.identity(root / "pair/1/model.onnx")
    write(root, "pair/model.yaml", "autoscaling: {min_replicas: 2}\n")
    onnx_models.identity(root / "greedy/1/model.onnx")
    write(root, "greedy/model.yaml", "resources: {gpus: 64}\n")
    return root


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayServer]:
    with ray_server(repository, tmp_path_factory.mktemp("log") / "server.log") as server:
        yield server
