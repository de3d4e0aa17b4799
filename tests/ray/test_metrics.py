"""From the scrape configuration to the metrics of gateways and engines, on a real cluster."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import yaml

from tests.support.ray_server import PENSTOCK, RayServer, post
from tests.support.running import metric_in

ROOT = Path(__file__).parents[2]
ROW = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def discovered(server: RayServer) -> dict[str, list[str]]:
    """The pages of all targets, by their role, as Prometheus would find them."""
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus.yaml").read_text())["scrape_configs"]
    (discovery,) = job["http_sd_configs"]
    groups = json.loads(read(discovery["url"].replace("localhost:8002", server.admin)))
    pages: dict[str, list[str]] = {}
    for group in groups:
        assert set(group) == {"targets", "labels"}
        for target in group["targets"]:
            pages.setdefault(group["labels"]["role"], []).append(read(f"http://{target}/metrics"))
    return pages


def test_discovery_leads_to_every_gateway_and_engine(server: RayServer) -> None:
    before = discovered(server)
    for _ in range(20):
        post(server.http, "/v2/models/pair/infer", {"inputs": [ROW]})
    after = discovered(server)
    assert len(after["gateway"]) == 1
    served = [row for row in server.status()["models"] if row["state"] == "READY"]
    assert len(after["engine"]) == sum(row["replicas"]["ready"] for row in served)

    def batches(pages: dict[str, list[str]], model: str) -> float:
        name = "penstock_engine_batches_total"
        return sum(metric_in(p, name, model=model, outcome="success") for p in pages["engine"])

    assert batches(after, "pair") - batches(before, "pair") == 20  # one at a time
    assert batches(after, "simple") == batches(before, "simple")
    (gateway,) = after["gateway"]
    assert metric_in(gateway, "penstock_replicas", model="pair", state="ready") == 2
    assert metric_in(gateway, "penstock_replica_slots", model="pair") >= 2
    sent = metric_in(gateway, "penstock_batch_transport_seconds_count", model="pair")
    assert sent == batches(after, "pair")
    engines = [p for p in after["engine"] if metric_in(p, "penstock_engine_slots", model="pair")]
    assert len(engines) == 2
    assert all(metric_in(p, "penstock_engine_connections", model="pair") == 1 for p in engines)


def test_models_tells_of_replicas_and_of_those_no_node_can_have(server: RayServer) -> None:
    command = [PENSTOCK, "models", "--admin", server.admin, "--replicas"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("pair "))
    assert lines[at].split()[1:4] == ["1", "READY", "2/2"]
    pids = {process.pid for process in server.replicas("pair")}
    said = lines[at + 1 : at + 3]
    assert {int(line.split("pid ")[1].split()[0]) for line in said} == pids
    assert all(": ready, 0 batches in " in line for line in said)
    at = next(at for at, line in enumerate(lines) if line.startswith("greedy "))
    assert lines[at].split()[1:4] == ["1", "UNAVAILABLE", "0/1"]
    assert "64 GPU" in lines[at + 1]
