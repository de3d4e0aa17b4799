"""The file for Ray's cluster launcher: its commands parse, and what it names exists here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import serve.cli
from serve.commands import serving
from serve.config import ServerSettings

FILE = Path(__file__).parents[3] / "deploy/ray-cluster.yaml"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def commands(cluster: dict[str, Any], node: str, program: str) -> list[list[str]]:
    """The arguments of each call of ``program`` when a node starts."""
    lines = [shlex.split(line) for line in cluster[f"{node}_start_ray_commands"]]
    path = f"/opt/penstock/bin/{program}"
    return [line[line.index(path) + 1 :] for line in lines if path in line]


def test_server_is_started_with_flags_that_it_has(
    cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ServerSettings, str, int]] = []
    monkeypatch.setattr(serving, "_run_on_ray", lambda *given: calls.append(given) or 0)
    (arguments,) = commands(cluster, "head", "penstock")
    done = CliRunner().invoke(serve.cli.app, arguments)
    assert done.exit_code == 0, done.output
    ((repository, settings, address, gateways),) = calls
    assert (repository, address, gateways) == ("/models", "auto", 0)
    assert settings.http is not None and settings.admin is not None
    assert {settings.http.host, settings.admin.host} == {"0.0.0.0"}
    assert (settings.http.port, settings.admin.port) == (8000, 8002)


def test_service_has_longer_to_stop_than_the_server_takes(cluster: dict[str, Any]) -> None:
    (line,) = (line for line in cluster["head_start_ray_commands"] if "systemd-run" in line)
    allowed = re.search(r"TimeoutStopSec=(\d+)", line)
    assert allowed
    # Gateways drain, and then replicas.
    assert int(allowed[1]) > 2 * ServerSettings().drain_timeout_s + 20


def test_every_node_of_the_cluster_asks_for_the_token(cluster: dict[str, Any]) -> None:
    for node in ("head", "worker"):
        for line in cluster[f"{node}_start_ray_commands"]:
            if "ray start" in line or "penstock serve" in line:
                assert "RAY_AUTH_MODE=token" in line
    assert list(cluster["file_mounts"]) == ["~/.ray/auth_token"]


def test_groups_grow_inside_the_bounds_of_the_cluster(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    workers = [each for name, each in types.items() if name != cluster["head_node_type"]]
    assert sum(each["max_workers"] for each in workers) <= cluster["max_workers"]
    assert all(each["min_workers"] <= each["max_workers"] for each in workers)
    gateway = types["gateway"]
    assert gateway["min_workers"] == gateway["max_workers"]
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
class TestWithRay:
    """What Ray itself says of the file."""

    @pytest.fixture(autouse=True)
    def _ray(self) -> None:
        pytest.importorskip("ray", reason="needs Ray: the extra `ray`")

    def test_launcher_takes_the_file(self, cluster: dict[str, Any]) -> None:
        pytest.importorskip("jsonschema", reason="needs jsonschema, which comes with Ray")
        from ray.autoscaler._private.util import validate_config

        filled = {**cluster, "cluster_synced_files": []}  # as the launcher does
        validate_config(filled)
        with pytest.raises(Exception, match="min_nodes"):
            validate_config({**filled, "min_nodes": 1})

    @pytest.mark.parametrize("node", ["head", "worker"])
    def test_ray_is_started_with_flags_that_it_has(
        self, cluster: dict[str, Any], node: str
    ) -> None:
        from ray.scripts.scripts import start

        (arguments,) = (each for each in commands(cluster, node, "ray") if each[0] == "start")
        start.make_context("start", arguments[1:])  # raises for a flag that it does not know

    def test_one_type_of_machine_has_what_gateways_ask_for(self, cluster: dict[str, Any]) -> None:
        from serve.executors.ray.gateway_tier import NODES

        types = cluster["available_node_types"]
        assert [name for name, each in types.items() if NODES in each["resources"]] == ["gateway"]
