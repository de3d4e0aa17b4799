"""A live model whose batches run on replicas."""

from __future__ import annotations

import asyncio

from serve.clock import Clock
from serve.config import ModelConfig
from serve.executors.live import LiveModel
from serve.executors.loader import limits_of
from serve.executors.remote.executor import RemoteExecutor
from serve.executors.remote.messages import Description
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.batcher import Batcher
from serve.scheduling.cost import CostModel

__all__ = ["go_live_remote"]


def go_live_remote(
    description: Description,
    config: ModelConfig,
    executor: RemoteExecutor,
    metrics: VersionMetrics,
    clock: Clock,
    loop: asyncio.AbstractEventLoop,
) -> LiveModel:
    """Put a batcher in front of replicas that were described. Runs on the event loop."""
    batcher = Batcher(
        description.model,
        limits_of(config, description.max_batch_rows),
        CostModel(description.profile),
        executor,
        metrics,
        clock,
        loop,
    )
    executor.waiting_ns = batcher.waiting_ns
    return LiveModel(
        description.model,
        description.version,
        config,
        description.signature,
        description.backend,
        description.platform,
        description.max_batch_rows,
        batcher,
        executor,
        metrics,
        digest=description.digest,
    )
