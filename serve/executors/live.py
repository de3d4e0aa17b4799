"""A model version that answers: its backend, what it declares, and its batcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serve.config import ModelConfig
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.batcher import Batcher
from serve.scheduling.execution import Executor
from serve.tensors import Signature

__all__ = ["LiveModel"]


@dataclass(slots=True, eq=False)
class LiveModel:
    """What the gateway needs of a version that is ready. ``backend`` and ``platform`` are names.

    ``on_close`` is called when it is closed, for what the gateway holds of it. ``digest`` is of
    what the answers follow from; "" where nobody needs it.
    """

    name: str
    version: str
    config: ModelConfig
    signature: Signature
    backend: str
    platform: str
    max_batch_rows: int
    batcher: Batcher
    executor: Executor
    metrics: VersionMetrics
    on_close: Callable[[], None] | None = None
    digest: str = ""

    def close(self) -> None:
        """Answer what is left with an error, and release the backend."""
        self.batcher.close()
        self.executor.close()
        if self.on_close is not None:
            self.on_close()
