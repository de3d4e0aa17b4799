"""Several nodes: joined by address, batches over TCP, nodes that come and go, servers that do."""

from __future__ import annotations

import re
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
import yaml

from serve.executors.remote.gateway_connection import connect
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.executors.remote.wire import FrameError
from tests.support import onnx_models
from tests.support.ray_nodes import RayNodes, ray_nodes
from tests.support.ray_server import (
    LOST,
    Load,
    RayServer,
    authorities_among,
    ray_server,
    replicas_among,
)
from tests.support.serve_deploy import deploy
from tests.support.triton_repository import write

RAYSERVICE = Path(__file__).parents[2] / "deploy/kuberay/rayservice.yaml"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def sockets_before() -> set[Path]:
    return sockets()


@pytest.fixture(scope="module")
def nodes(sockets_before: set[Path]) -> Iterator[RayNodes]:
    with ray_nodes(num_cpus=0, resources={"each": 1}) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def second(nodes: RayNodes) -> str:
    return nodes.add(num_cpus=0, resources={"each": 1, "far": 1})


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model on the second node, one on each, and one that waits for a node."""
    root = tmp_path_factory.mktemp("models")
    for name, settings in (
        ("far", "resources: {cpus: 0, custom: {far: 1}}\n"),
        ("spread", "resources: {cpus: 0, custom: {each: 1}}\nautoscaling: {min_replicas: 2}\n"),
        ("later", "resources: {cpus: 0, custom: {later: 1}}\n"),
    ):
        onnx_models.identity(root / name / "1/model.onnx")
        write(root, f"{name}/model.yaml", settings)
    return root


@pytest.fixture(scope="module")
def server(
    nodes: RayNodes, second: str, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RayServer]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    flags = (f"--ray={nodes.address}",)
    with ray_server(repository, log, *flags, environment=nodes.environment) as server:
        yield server


def replicas(nodes: RayNodes, model: str) -> list[psutil.Process]:
    return replicas_among(nodes.processes(), model)


def authorities(nodes: RayNodes) -> list[psutil.Process]:
    return authorities_among(nodes.processes())


def sockets() -> set[Path]:
    """Of replicas on joined clusters."""
    return set(Path("/tmp").glob("penstock-*-*/*/*.sock"))


def pids(nodes: RayNodes, model: str) -> set[int]:
    return {process.pid for process in replicas(nodes, model)}


def until(condition: Callable[[], object]) -> None:
    give_up = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < give_up, "it never was so"
        sleep(0.1)


def test_there_is_a_gateway_on_every_node(nodes: RayNodes, server: RayServer) -> None:
    gateways = replicas(nodes, "gateways")
    assert len(gateways) == 2
    assert len({gateway.ppid() for gateway in gateways}) == 2


def test_batches_go_over_tcp_to_another_node(nodes: RayNodes, server: RayServer) -> None:
    with Load(server.http, "far") as load:
        load.more(500)
    assert load.wrong == []
    (engine,) = replicas(nodes, "far")
    here, there = replicas(nodes, "gateways")
    if here.ppid() != engine.ppid():
        here, there = there, here
    port = port_of(server, "far")
    assert port in connected_to(there)
    assert port not in connected_to(here)  # over a Unix socket


async def test_engine_on_a_node_wants_the_secret(nodes: RayNodes, server: RayServer) -> None:
    host = nodes.address.rpartition(":")[0]
    endpoint = Endpoint(host=host, port=port_of(server, "far"))
    options = RemoteOptions(secret=b"not what the cluster keeps")
    with pytest.raises(FrameError, match="secret"):
        await connect(endpoint, Nobody(), WantedModel("far", "1"), options)


def test_model_that_no_node_can_have_is_served_when_one_joins(
    nodes: RayNodes, server: RayServer
) -> None:
    state, reason = server.index()["later", "1"]
    assert state == "UNAVAILABLE"
    assert "1 later, at most 0 later on one" in reason
    assert server.index()["spread", "1"][0] == "READY"
    nodes.add(num_cpus=0, resources={"later": 1})
    # Each gateway learns of it by itself, and a connection may lead to any of them.
    until(lambda: all(server.index()["later", "1"][0] == "READY" for _ in range(20)))
    with Load(server.http, "later", clients=2) as load:
        load.more(20)
    assert load.wrong == []
    until(lambda: len(replicas(nodes, "gateways")) == 3)


def test_node_lost_under_load_costs_its_own_connections_alone(
    nodes: RayNodes, second: str, server: RayServer
) -> None:
    clients = 8
    with Load(server.http, "spread", clients) as load:
        load.more(500)
        nodes.kill(second)
        load.more(2000)
        third = nodes.add(num_cpus=0, resources={"each": 1, "far": 1})
        load.more(500)
    assert third
    assert [text for text in load.wrong if not re.search(LOST, text)] == []
    assert len(load.wrong) <= clients
    until(lambda: len(replicas(nodes, "spread")) == 2)
    until(lambda: gateways_that_listen(nodes, server) == 3)


def test_lost_server_is_replaced_without_a_request_lost(
    nodes: RayNodes,
    server: RayServer,
    repository: Path,
    sockets_before: set[Path],
    tmp_path: Path,
) -> None:
    engines, gateways = pids(nodes, "spread"), pids(nodes, "gateways")
    ports = [
        f"--{name}-port={address.rpartition(':')[2]}"
        for name, address in (("http", server.http), ("grpc", server.grpc), ("admin", server.admin))
    ]
    with Load(server.http, "spread") as load:
        load.more(200)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(PATIENCE_S)
        load.more(200)
        with ray_server(
            repository,
            tmp_path / "server.log",
            f"--ray={nodes.address}",
            *ports,
            environment=nodes.environment,
        ) as successor:
            assert "taking over penstock:spread:1:" in successor.log()
            load.more(200)
            assert pids(nodes, "spread") == engines
            # One may have come or gone, as the node that was lost is replaced.
            assert len(pids(nodes, "gateways") & gateways) >= 2
            load.__exit__()
            assert load.wrong == []
            assert successor.stop() == 0
    until(lambda: not replicas(nodes, ".*"))
    until(lambda: not authorities(nodes))
    assert sockets() <= sockets_before


def test_config_file_keeps_a_server_without_a_command(
    nodes: RayNodes, second: str, repository: Path, sockets_before: set[Path]
) -> None:
    """What ``deploy/kuberay`` gives to KubeRay, with another folder and other ports."""
    text = yaml.safe_load(RAYSERVICE.read_text())["spec"]["serveConfigV2"]
    config = yaml.safe_load(text)
    (application,) = config["applications"]
    ports = free_ports(3)
    listeners = dict(zip(("http", "grpc", "admin"), ports, strict=True))
    application["args"] = {
        "repository": str(repository),
        "settings": {name: {"host": "127.0.0.1", "port": port} for name, port in listeners.items()},
    }
    address = f"127.0.0.1:{listeners['http']}"
    deploy(nodes, config)
    until(lambda: all(ready(address, "spread") for _ in range(20)))  # each gateway by itself
    with Load(address, "spread") as load:
        load.more(200)
        (lost,) = replicas(nodes, "Keeper")
        engines = pids(nodes, "spread")
        lost.kill()
        onnx_models.identity(repository / "added/1/model.onnx")
        write(repository, "added/model.yaml", "resources: {cpus: 0}\n")
        until(lambda: ready(address, "added"))  # the next keeper has read the repository
        onnx_models.identity(repository / "another/1/model.onnx")
        write(repository, "another/model.yaml", "resources: {cpus: 0}\n")
        application["deployments"][0]["user_config"] = {"revision": 2}
        deploy(nodes, config)
        until(lambda: ready(address, "another"))
        load.more(200)
    assert load.wrong == []
    assert pids(nodes, "spread") == engines
    assert authorities(nodes)
    deploy(nodes, {**config, "applications": []})
    until(lambda: not replicas(nodes, ".*"))
    until(lambda: not authorities(nodes))
    assert sockets() <= sockets_before


def gateways_that_listen(nodes: RayNodes, server: RayServer) -> int:
    port = int(server.http.rpartition(":")[2])
    return sum(
        any(each.laddr.port == port for each in gateway.net_connections("tcp"))
        for gateway in replicas(nodes, "gateways")
    )


def ready(address: str, model: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v2/models/{model}/ready", timeout=5):
            return True
    except OSError:
        return False


def free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        found = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in found]


def port_of(server: RayServer, model: str) -> int:
    """At which gateways on other nodes reach the only replica of a model."""
    found: set[str] = set()

    def both() -> bool:
        # Gateways share the port, and a connection may lead to either.
        (row,) = (row for row in server.status()["models"] if row["name"] == model)
        (member,) = row["replicas"]["members"]
        found.add(member["address"])
        return len(found) == 2

    until(both)
    (address,) = (each for each in found if not each.endswith(".sock"))
    return int(address.rpartition(":")[2])


def connected_to(process: psutil.Process) -> set[int]:
    return {each.raddr.port for each in process.net_connections("tcp") if each.raddr}


class Nobody:
    """An owner of a connection that is never opened."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None
