"""BentoML: `bentoml serve` of a class, ``POST /predict``.

default: as its quick start has it, one worker, a request is a call of the model.
tuned: adaptive batching (https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html:
`batchable=True`, with its own bounds of 100 requests and 60 s) and no access log. Tried and no
better here: a bound of 1 s on the latency; two workers (each has a batcher: batches halve).
"""

from __future__ import annotations

import os
from typing import Any

import bentoml

from benchmarks.peers.onnx_model import OnnxModel

PATH = os.environ["PEER_MODEL"]  # BentoML builds the service: nothing can be handed to it


@bentoml.service(name="default")
class OneByOne:
    """The quick start."""

    def __init__(self) -> None:
        self._model = OnnxModel(PATH)

    @bentoml.api
    def predict(self, record: dict[str, Any]) -> dict[str, Any]:
        return self._model.predict([record])[0]


@bentoml.service(name="tuned", logging={"access": {"enabled": False}})
class Batched:
    """Adaptive batching."""

    def __init__(self) -> None:
        self._model = OnnxModel(PATH)

    @bentoml.api(batchable=True)
    def predict(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._model.predict(records)


service = Batched if os.environ["PEER_ROW"] == "tuned" else OneByOne
