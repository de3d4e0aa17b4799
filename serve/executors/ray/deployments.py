"""The Serve applications of models. Imports ray."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from ray import serve
from ray.serve.api import RunTarget
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from serve.backends.base import BackendSource
from serve.config import ModelConfig
from serve.config.traffic import Traffic
from serve.executors.ray.engine_replica import EngineReplica, EngineSpec
from serve.executors.ray.gateway_tier import GRACE_S
from serve.executors.ray.placement import actor_options
from serve.executors.ray.plan import settings_text
from serve.executors.ray.router import ENGINE, QUIET, router_config, with_version
from serve.executors.ray.scaling import Rules, ScalingPolicy

__all__ = ["application_name", "engines"]

REPORT_S = 1.0
"""How often replicas report their load."""
REPORT_VARIABLE = "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S"
DIGEST_CHARACTERS = 10


def application_name(server: str, source: BackendSource) -> str:
    """A name for just this: other settings, or other files, are another application.

    Files count by size and time, labels and traffic not at all. Blocks on the disk.
    """
    settings = source.config.model_copy(update={"labels": {}, "traffic": Traffic()})
    digest = hashlib.sha256(settings_text(settings).encode())
    inside = [path for path in sorted(source.artefact.parent.rglob("*")) if path.is_file()]
    beside = [path for path in sorted(source.folder.iterdir()) if path.is_file()]
    for path in (*inside, *beside):
        if path.name not in ("model.yaml", "README.md"):
            found = path.stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    short = digest.hexdigest()[:DIGEST_CHARACTERS]
    return f"{server}:{source.model_name}:{source.version}:{short}"


def engines(application: str, spec: EngineSpec, default_cpus: float) -> RunTarget:
    """The application of a model version."""
    config = spec.source.config
    scaling = _autoscaling(config)
    options = actor_options(config.resources, default_cpus)
    if scaling is None:
        number: dict[str, Any] = {"num_replicas": config.autoscaling.min_replicas}
    else:
        number = {"autoscaling_config": scaling}
        options["runtime_env"] = {"env_vars": {REPORT_VARIABLE: str(REPORT_S)}}
    deployment = serve.deployment(
        name=ENGINE,
        ray_actor_options=options,
        health_check_period_s=2.0,
        health_check_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=spec.settings.drain_timeout_s + GRACE_S,
        request_router_config=router_config(application),
        **number,
    )(EngineReplica)
    # So that to deploy it a second time changes nothing.
    deployment = with_version(deployment, "1")
    return RunTarget(
        deployment.bind(spec), name=application, route_prefix=None, logging_config=QUIET
    )


def _autoscaling(config: ModelConfig) -> AutoscalingConfig | None:
    wanted = config.autoscaling
    if wanted.most == wanted.min_replicas:
        return None
    return AutoscalingConfig(
        min_replicas=wanted.min_replicas,
        # One shows that the version loads, and tells gateways what it is.
        initial_replicas=max(1, wanted.min_replicas),
        max_replicas=wanted.most,
        # The policy has the delays, so that a simulation has them too.
        upscale_delay_s=0.0,
        downscale_delay_s=0.0,
        look_back_period_s=wanted.look_back_s,
        policy=AutoscalingPolicy(
            policy_function=f"{ScalingPolicy.__module__}:{ScalingPolicy.__name__}",
            policy_kwargs=asdict(Rules.of(config)),
        ),
    )
