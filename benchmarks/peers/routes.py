"""How a record is asked about, and where the probability is in the answer.

OIP v2 where a peer speaks it, with the same bytes for all that do; else the JSON that its own quick
start would send, which holds the same numbers in fewer bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from benchmarks.payloads import Payload
from benchmarks.peers.models import PeerModel, Record

__all__ = ["BENTOML_BATCH", "BENTOML_ONE", "OIP_V2", "Route", "json_object"]


@dataclass(frozen=True, slots=True)
class Route:
    """One way to ask."""

    name: str
    path: Callable[[PeerModel], str]
    body: Callable[[PeerModel, Record], Any]
    probability: Callable[[Any], Any]
    """Picks it out of the decoded answer; raises LookupError or TypeError where it is not."""

    def payload(self, model: PeerModel, record: Record) -> Payload:
        """The request for one record: one row."""
        return Payload(
            f"{model.name}-{self.name}",
            self.path(model),
            (("Content-Type", "application/json"),),
            orjson.dumps(self.body(model, record)),
            1,
        )


def oip_body(model: PeerModel, record: Record) -> dict[str, Any]:
    """https://github.com/open-inference-protocol: a tensor for each input, in their order."""
    return {
        "inputs": [
            {
                "name": name,
                "shape": [1, width],
                "datatype": "FP32" if dtype is np.float32 else "BYTES",
                "data": value if isinstance(value := record[name], list) else [value],
            }
            for name, (dtype, width) in model.session.inputs.items()
        ]
    }


def _oip_probability(answer: Any) -> Any:
    tensor = next(output for output in answer["outputs"] if output["name"] == "probability")
    return np.ravel(tensor["data"])[0]


def json_object(path: str) -> Route:
    """The record itself, and an object with the outputs."""
    return Route(
        "object", lambda _: path, lambda _, record: record, lambda answer: answer["probability"]
    )


OIP_V2 = Route("oip-v2", lambda model: f"/v2/models/{model.name}/infer", oip_body, _oip_probability)
# BentoML names a body's fields after the parameters of the method.
BENTOML_ONE = Route(
    "record",
    lambda _: "/predict",
    lambda _, record: {"record": record},
    lambda answer: answer["probability"],
)
BENTOML_BATCH = Route(
    "records",
    lambda _: "/predict",
    lambda _, record: {"records": [record]},
    lambda answer: answer[0]["probability"],
)
