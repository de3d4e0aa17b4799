"""LitServe: one JSON object a request, ``POST /predict``.

default: as its quick start has it, one worker, no batches.
tuned: `max_batch_size` and `batch_timeout` (https://lightning.ai/docs/litserve/features/batching),
two API servers and one worker for the two cores, `fast_queue` (ZeroMQ), which its documentation
gives for high request rates, and no access log.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve

from benchmarks.peers.onnx_model import OnnxModel


class OneByOne(litserve.LitAPI):
    """The quick start: a request is a call of the model."""

    def __init__(self, path: str, **batching: Any) -> None:
        super().__init__(**batching)
        self._path = path

    def setup(self, device: str) -> None:
        self._model = OnnxModel(self._path)

    def predict(self, record: dict[str, Any]) -> dict[str, Any]:
        return self._model.predict([record])[0]


class Batched(OneByOne):
    """Requests are collected, and the answers handed out again."""

    def batch(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return records

    def predict(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:  # type: ignore[override]
        return self._model.predict(records)

    def unbatch(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return answers


def main() -> None:
    row, _, path, port, _ = sys.argv[1:]
    options: dict[str, Any] = {}
    run: dict[str, Any] = {}
    if row == "tuned":
        api: OneByOne = Batched(path, max_batch_size=64, batch_timeout=0.002)
        options = {"fast_queue": True}
        run = {"num_api_servers": 2, "log_level": "warning"}
    else:
        api = OneByOne(path)
    server = litserve.LitServer(api, accelerator="cpu", **options)
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, **run)


if __name__ == "__main__":
    main()
