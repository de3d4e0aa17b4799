"""Penstock as an application in a Ray Serve config, for KubeRay's RayService: ``deploy/kuberay``.

``import_path: serve.ray_app:application``; ``args`` are the fields of ``KeeperArguments``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["application"]


def application(args: dict[str, Any]) -> Any:
    """Called by Serve with ``args``; gives the application that keeps all others.

    Raises:
        ValueError: ``args`` are not ``KeeperArguments``; says which field.
    """
    # In here, because the module may be looked at where there is no ray.
    from serve.app import GatewayApp
    from serve.executors.ray.keeper import KeeperArguments, keeper

    return keeper(KeeperArguments.model_validate(args), GatewayApp)
