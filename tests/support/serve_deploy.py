"""``python -m tests.support.serve_deploy ADDRESS``: deploy a config file of Serve, as KubeRay does.

The config is JSON on standard input. Returns when the cluster was told, not when it is done.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.ray_nodes import RayNodes

DEPLOY_S = 60


def deploy(nodes: RayNodes, config: dict[str, Any]) -> None:
    """Deploy on a cluster, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, nodes.address],
        input=json.dumps(config),
        env=nodes.environment,
        capture_output=True,
        text=True,
        timeout=DEPLOY_S,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr


def _main(address: str, config: dict[str, Any]) -> None:
    import ray
    from ray.serve._private.api import serve_start
    from ray.serve.schema import ServeDeploySchema

    schema = ServeDeploySchema.model_validate(config)
    # As Ray's dashboard does, which is what KubeRay speaks to.
    ray.init(address=address, namespace="serve", logging_level=logging.WARNING)
    client = serve_start(
        http_options=schema.http_options.model_dump(), proxy_location=schema.proxy_location
    )
    client.deploy_apps(schema)
    ray.shutdown()


if __name__ == "__main__":
    _main(sys.argv[1], json.load(sys.stdin))
