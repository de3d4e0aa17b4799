"""The requests that users send, varied, and whether an answer makes sense."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tritonclient.grpc import service_pb2

from benchmarks.inputs.encode import raw_bytes

__all__ = ["INFER", "Journeys"]

MODELS = Path(__file__).resolve().parents[2] / "models"
INFER = "ModelInfer"
CLASSES = 10


class Journeys:
    """Made from the request that comes with each model; equal seeds give equal requests."""

    def __init__(self, models: Path = MODELS, seed: int = 20261124) -> None:
        self._random = random.Random(seed)
        self._examples = {
            name: orjson.loads((models / name / "request.json").read_bytes())
            for name in ("fraud", "digits")
        }

    def request(self, model: str) -> dict[str, Any]:
        """The model's example with another amount, or another smudge on the digit."""
        request: dict[str, Any] = copy.deepcopy(self._examples[model])
        for tensor in request["inputs"]:
            if tensor["name"] == "amount":
                tensor["data"] = [round(self._random.lognormvariate(3.5, 1.2), 2)]
            elif tensor["name"] == "image":
                tensor["data"][self._random.randrange(len(tensor["data"]))] = 8
        return request

    def body(self, model: str) -> str:
        """For HTTP."""
        return orjson.dumps(self.request(model)).decode()

    def message(self, model: str) -> Any:
        """For gRPC: ``ModelInferRequest``; raw tensors know no null, so a gap is left out."""
        message = service_pb2.ModelInferRequest(model_name=model)
        for tensor in self.request(model)["inputs"]:
            if None in tensor["data"]:
                continue
            text = tensor["datatype"] == "BYTES"
            array = np.array(tensor["data"], np.object_ if text else np.float32)
            message.inputs.add(
                name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"]
            )
            message.raw_input_contents.append(raw_bytes(array))
        return message

    def wrong(self, model: str, answer: dict[str, Any]) -> str:
        """What is wrong with an answer; empty where nothing is."""
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        if model == "fraud":
            good = 0.0 <= outputs["probability"][0] <= 1.0
        else:
            good = 0 <= outputs["digit"][0] < CLASSES
        return "" if good else f"{model} answered {outputs}"
