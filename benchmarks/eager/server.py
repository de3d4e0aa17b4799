"""A model in PyTorch eager mode behind a plain web server: how most models are served at first.

One thread a connection, one text a call, nothing batched; the tokenizer and the model are those
that ``models/minilm`` is optimised from. Calls run one at a time, each on all threads, in the order
in which they came: callers who ran their own at once would take the cores from each other, and
answer a third as many.

    python -m benchmarks.eager.server models/minilm/teacher.py --threads 2 --port N
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Embedder:
    """The teacher of a model's folder, asked for one text."""

    def __init__(self, path: Path, threads: int) -> None:
        import tokenizers
        import torch

        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        torch.set_num_threads(threads)
        given = module.teacher()
        self._torch = torch
        self._module = given["module"]
        self._tokenizer = tokenizers.Tokenizer.from_file(given["tokenizer"])
        self._tokenizer.enable_truncation(given["max_length"])
        # A lock would let whoever asks again at once go before those who wait.
        self._turns = ThreadPoolExecutor(max_workers=1)

    def __call__(self, text: str) -> list[float]:
        """Its embedding, when its turn has come."""
        return self._turns.submit(self._embed, text).result()

    def _embed(self, text: str) -> list[float]:
        encoded = self._tokenizer.encode(text)
        torch = self._torch
        ids = torch.tensor([encoded.ids])
        mask = torch.tensor([encoded.attention_mask])
        with torch.inference_mode():
            embedding: list[float] = self._module(ids, mask)["embedding"][0].tolist()
        return embedding


class Handler(BaseHTTPRequestHandler):
    """Any GET asks whether the server is ready; a POST has one text, as the protocol writes it."""

    protocol_version = "HTTP/1.1"
    # An answer in one packet: its second would wait 40 ms for the client to confirm the first.
    wbufsize = -1
    disable_nagle_algorithm = True
    embedder: ClassVar[Embedder]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        (text,) = json.loads(body)["inputs"][0]["data"]
        data = Handler.embedder(text)
        output = {"name": "embedding", "datatype": "FP32", "shape": [1, len(data)], "data": data}
        self._answer(json.dumps({"outputs": [output]}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: printing a line a request would be measured too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    Handler.embedder = Embedder(arguments.teacher.resolve(), arguments.threads)
    ThreadingHTTPServer.request_queue_size = 256
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
