"""A Ray cluster of several nodes on this machine, in a process of its own.

``python -m tests.support.ray_nodes ARGUMENTS`` starts a head, and then does what lines of
JSON on its standard input say, each with a line in answer. It ends with its input. The nodes share
an address, unless they are in a network namespace, and a file system, and are nodes to Ray and to
Serve in all else.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil

from serve.executors.remote.local_socket import remove_stale
from tests.support.network import inside

STOP_S = 30


class RayNodes:
    """The cluster as a test sees it; ``address`` is where to join, with ``environment``."""

    def __init__(self, **head: Any) -> None:
        # Paths of sockets are short, and that of a test's own folder is not.
        self._folder = tempfile.mkdtemp(prefix="penstock-nodes-", dir="/tmp")
        self.environment = {
            **os.environ,
            "RAY_TMPDIR": self._folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DEDUP_LOGS": "0",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_failure_threshold": "4",
            "RAY_health_check_timeout_ms": "1000",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ray_nodes", json.dumps(head)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        answer = self._answer()
        self.address: str = answer["address"]
        self.dashboard: str = answer["dashboard"]

    def add(self, namespace: str | None = None, **arguments: Any) -> str:
        """Another node with these arguments of Ray, in a network of its own; its id."""
        added: str = self._ask({"add": arguments, "namespace": namespace})["node"]
        return added

    def kill(self, node: str) -> None:
        """All of a node's processes at once, as if its machine lost its power."""
        self._ask({"kill": node})

    def stop(self) -> None:
        """End all nodes."""
        left = psutil.Process(self._process.pid).children(recursive=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        finally:
            self._process.stdout.close()
            self._process.kill()
            for process in left:
                if process.is_running():
                    process.kill()
            psutil.wait_procs(left, STOP_S)
            shutil.rmtree(self._folder)
            _remove_dead_sockets()

    def processes(self) -> list[psutil.Process]:
        """All processes of all nodes."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        while line and not line.startswith("{"):
            line = self._process.stdout.readline()
        assert line, "the cluster has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def ray_nodes(**head: Any) -> Iterator[RayNodes]:
    """A cluster until the block ends; ``head`` are Ray's arguments of its head node."""
    nodes = RayNodes(**head)
    try:
        yield nodes
    finally:
        nodes.stop()


def _remove_dead_sockets() -> None:
    """What replicas leave that were killed with their node."""
    for folder in Path("/tmp").glob(f"penstock-{os.geteuid()}-*/*"):
        if folder.is_dir() and remove_stale(folder):
            with suppress(OSError):  # of others, who live
                folder.rmdir()
                folder.parent.rmdir()


def _main(head: dict[str, Any]) -> None:
    from ray.cluster_utils import Cluster

    common = {"object_store_memory": 80 * 10**6, "include_dashboard": False}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**common, "dashboard_port": 0, **head},
    )
    nodes = {cluster.head_node.node_id: cluster.head_node}
    _say(address=cluster.address, dashboard=cluster.head_node.webui_url or "")
    for line in sys.stdin:
        order = json.loads(line)
        if "add" in order:
            with inside(order["namespace"]) if order["namespace"] else nullcontext():
                node = cluster.add_node(**{**common, **order["add"]})
            nodes[node.node_id] = node
            _say(node=node.node_id)
        else:
            node = nodes.pop(order["kill"])
            for process in _of_node(node):
                process.kill()
            cluster.remove_node(node, allow_graceful=False)
            _say()
    cluster.shutdown()


def _of_node(node: Any) -> list[psutil.Process]:
    """The raylet of a node first, so that it starts nothing more; then all that it started."""
    found = []
    for information in node.all_processes["raylet"]:
        raylet = psutil.Process(information.process.pid)
        found += [raylet, *raylet.children(recursive=True)]
    return found


def _say(**answer: str) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
