"""The deployments: one JSON object a request, ``POST /``."""

from __future__ import annotations

from typing import Any

from ray import serve
from starlette.requests import Request

from benchmarks.peers.onnx_model import OnnxModel

__all__ = ["batched", "one_by_one"]


class OneByOne:
    """The quick start: a request is a call of the model."""

    def __init__(self, path: str) -> None:
        self._model = OnnxModel(path)

    async def __call__(self, request: Request) -> dict[str, Any]:
        return self._model.predict([await request.json()])[0]


class Batched:
    """Dynamic batching, as its guide has it."""

    def __init__(self, path: str) -> None:
        self._model = OnnxModel(path)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)
    async def infer(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._model.predict(records)

    async def __call__(self, request: Request) -> dict[str, Any]:
        answer: dict[str, Any] = await self.infer(await request.json())
        return answer


one_by_one = serve.deployment(OneByOne)
batched = serve.deployment(Batched, max_ongoing_requests=256)
