"""Endpoints of one version each, with the executor in the test's hands, and requests for them."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from serve.clock import NS_PER_MS, FakeClock
from serve.config import ModelConfig
from serve.executors.live import LiveModel
from serve.gateway.endpoint import Endpoint
from serve.gateway.future_answer import FutureAnswer
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.batcher import Batcher
from serve.scheduling.cost import CostModel
from serve.scheduling.policy import Limits
from serve.tensors import InferRequest, InferResponse, RequestBlock, Signature, Tensor, TensorSpec
from tests.support.entries import ManualExecutor

__all__ = ["SIGNATURE", "SPEC", "Bench", "Together", "block", "data", "request", "tensor"]

SPEC = TensorSpec("x", "FP32", (-1, 1))
SIGNATURE = Signature((SPEC,), (TensorSpec("y", "FP32", (-1, 1)),), batched=True)


class Bench:
    """An endpoint of one FP32 input and output, unless told otherwise."""

    def __init__(
        self,
        version: str = "3",
        *,
        signature: Signature = SIGNATURE,
        max_rows: int = 4,
        max_queue_rows: int = 100,
        clock: FakeClock | None = None,
        **config: Any,
    ) -> None:
        self.executor = ManualExecutor()
        self.clock = clock or FakeClock(NS_PER_MS)
        self.metrics = metrics = VersionMetrics("m", version)
        batcher = Batcher(
            "m",
            Limits(max_rows, max_queue_rows),
            CostModel({max_rows: NS_PER_MS}),
            self.executor,
            metrics,
            self.clock,
            asyncio.get_running_loop(),
        )
        self.live = LiveModel(
            "m",
            version,
            ModelConfig(**config),
            signature,
            "python",
            "p",
            max_rows,
            batcher,
            self.executor,
            metrics,
        )
        self.endpoint = Endpoint(self.live, self.clock)

    async def finish(self) -> None:
        """Answer what is queued, with its own inputs doubled."""
        await asyncio.sleep(0)
        while self.executor.batches:
            self.executor.finish()


def tensor(*values: float, missing: list[bool] | None = None) -> Tensor:
    mask = None if missing is None else np.array(missing).reshape(-1, 1)
    return Tensor("x", "FP32", np.array(values, np.float32).reshape(-1, 1), mask)


def request(*values: float, **fields: Any) -> InferRequest:
    return InferRequest("m", "", [tensor(*values)], **fields)


def block(*values: float, rows: int = 1, **fields: Any) -> RequestBlock:
    requests = [InferRequest("m", "", [], id=str(value)) for value in values[::rows]]
    return RequestBlock(requests, [tensor(*values, **fields)], rows)


class Together:
    """Notes the responses it is given, and marks their entries done."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[float], int]] = []
        self.answers: dict[str, tuple[str, list[float]]] = {}
        """By the request's id: the version that answered, and its rows."""

    def __call__(self, response: InferResponse, entries: Any) -> None:
        values = response.outputs[0].array.ravel().tolist()
        self.calls.append((values, len(entries)))
        for entry in entries:
            own, values = values[: entry.rows], values[entry.rows :]
            if not entry.done:
                entry.done = True
                assert entry.request.id not in self.answers or not entry.request.id
                self.answers[entry.request.id] = (response.model_version, own)


def data(answer: FutureAnswer) -> Any:
    return answer.result().outputs[0].array.tolist()
