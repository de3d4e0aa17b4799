"""A node that is cut off: nothing is refused or reset, it is only silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import onnx_models
from tests.support.network import Network, network
from tests.support.ray_nodes import RayNodes, ray_nodes
from tests.support.ray_server import Load, RayServer, ray_server
from tests.support.triton_repository import write

REPLICA = {"torn": 1}


@pytest.fixture
def cable() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def nodes(cable: Network) -> Iterator[RayNodes]:
    with ray_nodes(num_cpus=0, resources=REPLICA, node_ip_address=cable.here) as nodes:
        nodes.add(namespace=cable.name, num_cpus=0, resources=REPLICA, node_ip_address=cable.there)
        yield nodes


@pytest.fixture
def server(nodes: RayNodes, tmp_path: Path) -> Iterator[RayServer]:
    root = tmp_path / "models"
    onnx_models.identity(root / "torn/1/model.onnx")
    settings = "resources: {cpus: 0, custom: {torn: 1}}\nautoscaling: {min_replicas: 2}\n"
    write(root, "torn/model.yaml", settings)
    flags = (f"--ray={nodes.address}", "--drain-timeout=5")
    with ray_server(root, tmp_path / "log", *flags, environment=nodes.environment) as server:
        yield server


def test_node_that_is_cut_off_costs_no_answer(cable: Network, server: RayServer) -> None:
    def members() -> list[dict[str, str]]:
        (row,) = server.status()["models"]
        return row["replicas"]["members"]

    addresses = {each["address"].rpartition(":")[0] for each in members()}
    assert addresses == {"", cable.there}  # one over a Unix socket, one over the cable
    with Load(server.http, "torn") as load:
        load.more(2000)
        cable.cut()
        load.more(2000)
    assert load.wrong == []
    assert "ready" not in [e["state"] for e in members() if e["address"].startswith(cable.there)]
