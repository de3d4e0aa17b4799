"""A gateway that keeps answers, in front of an engine in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from serve.errors import DeadlineExceeded
from serve.executors.remote.options import Endpoint, RemoteOptions
from serve.tensors import InferRequest, Tensor
from tests.support.remote import StaticGateway, engine_process
from tests.support.triton_repository import write

MODEL = """
class Model:
    def predict(self, inputs):
        return {"y": inputs["x"] * 2}
"""
SETTINGS = """
backend: python
inputs: {x: {datatype: FP32, shape: [-1, 1]}}
outputs: {y: {datatype: FP32, shape: [-1, 1]}}
cache: {ttl_s: 600}
"""


async def test_what_is_kept_is_answered_without_a_replica(tmp_path: Path) -> None:
    write(tmp_path, "m/1/model.py", MODEL)
    write(tmp_path, "m/model.yaml", SETTINGS)
    socket = tmp_path / "engine.sock"
    gateway = StaticGateway(tmp_path / "m", RemoteOptions())

    async def ask(value: float, timeout_s: float = 60) -> float:
        request = InferRequest("m", "", [Tensor("x", "FP32", np.array([[value]], np.float32))])
        request.parameters = {"timeout": int(timeout_s * 1e6)}
        response = await gateway.gateway.infer(request)
        return float(response.outputs[0].array.item())

    with engine_process(tmp_path / "m", "one", socket=socket) as engine:
        await gateway.start({"one": Endpoint(str(socket))})
        assert await asyncio.gather(*(ask(3) for _ in range(8))) == [6] * 8
        assert gateway.version_metrics.rows == 1
        gateway.executor.update({})
        engine.process.kill()
    assert await ask(3) == 6
    with pytest.raises(DeadlineExceeded, match="without a replica"):
        await ask(4, timeout_s=0.1)
    await gateway.stop()
