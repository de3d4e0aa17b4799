"""``penstock models`` and Prometheus's discovery, against a server that runs."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.support.running import RunningApp, metric_in

PENSTOCK = str(Path(sys.executable).with_name("penstock"))


def models(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PENSTOCK, "models", *arguments], capture_output=True, text=True)


def test_models_tells_states_and_reasons(triton_server: RunningApp) -> None:
    done = models("--admin", triton_server.admin)
    assert (done.returncode, done.stderr) == (0, "")
    (simple,) = [line for line in done.stdout.splitlines() if line.startswith("simple ")]
    assert simple.split()[2] == "READY"
    assert "is not an ONNX model" in done.stdout


def test_json_counts_requests(triton_server: RunningApp) -> None:
    def requests() -> int:
        rows = json.loads(models("--json", "--admin", triton_server.admin).stdout)["models"]
        (row,) = [row for row in rows if row["name"] == "mlp"]
        count: int = row["requests"]
        return count

    before = requests()
    url = f"http://{triton_server.http}/v2/models/mlp"
    with urllib.request.urlopen(url) as reply:
        (tensor,) = json.loads(reply.read())["inputs"]
    shape = [1, *tensor["shape"][1:]]
    row = {**tensor, "shape": shape, "data": [0.5] * shape[1]}
    body = json.dumps({"inputs": [row]}).encode()
    urllib.request.urlopen(url + "/infer", body).close()
    assert requests() == before + 1


def test_client_port_is_told_from_the_admin_port(triton_server: RunningApp) -> None:
    done = models("--admin", triton_server.http)
    assert done.returncode == 2
    assert "is not the admin port of a Penstock server" in done.stderr
    assert "Traceback" not in done.stderr


def test_discovery_leads_to_metrics(triton_server: RunningApp) -> None:
    with urllib.request.urlopen(f"http://{triton_server.admin}/sd") as reply:
        (group,) = json.loads(reply.read())
    assert group["labels"] == {"role": "server"}
    (target,) = group["targets"]
    with urllib.request.urlopen(f"http://{target}/metrics") as page:
        assert metric_in(page.read().decode(), "penstock_model_state", state="READY") > 0
