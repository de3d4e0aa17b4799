"""The bare floor: socket → parse → one ONNX call → answer, and nothing else.

It checks nothing, limits nothing and times nothing out: it is as fast as a server of this kind
gets in Python, and the measure of what everything else in Penstock costs. What it shares with
Penstock is the idea that makes both fast: all requests read from sockets in one turn of the event
loop are run as one batch.

    python -m benchmarks.floor.server MODEL.onnx --port N
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from pathlib import Path
from typing import cast

import httptools
import numpy as np
import onnxruntime
import orjson
import uvloop

MAX_BATCH_ROWS = 256
READY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    b'{"model_name":"small","model_version":"1","outputs":'
    b'[{"name":"probability","datatype":"FP32","shape":[1,1],"data":[%b]}]}'
)
ANSWER_BYTES = len(ANSWER.partition(b"\r\n\r\n")[2]) - len(b"%b")


class TurnBatcher:
    """Collects the rows of one turn of the loop and runs them as one batch."""

    def __init__(self, model: Path, loop: asyncio.AbstractEventLoop) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._run = onnxruntime.InferenceSession(str(model), options).run
        self._loop = loop
        self._rows: list[list[float]] = []
        self._waiting: list[asyncio.Transport] = []

    def submit(self, row: list[float], transport: asyncio.Transport) -> None:
        """Queue one row; the batch leaves when the loop has read every socket."""
        if not self._rows:
            self._loop.call_soon(self._flush)
        self._rows.append(row)
        self._waiting.append(transport)

    def _flush(self) -> None:
        rows, waiting = self._rows, self._waiting
        self._rows, self._waiting = [], []
        for start in range(0, len(rows), MAX_BATCH_ROWS):
            batch = np.array(rows[start : start + MAX_BATCH_ROWS], np.float32)
            (values,) = self._run(None, {"x": batch})
            numbers = orjson.dumps(values.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
            for transport, number in zip(waiting[start:], numbers[1:-1].split(b","), strict=False):
                transport.write(ANSWER % (ANSWER_BYTES + len(number), number))


class Connection(asyncio.Protocol):
    """One connection: any POST is one JSON row, any GET asks whether the server is ready."""

    def __init__(self, batcher: TurnBatcher) -> None:
        self._batcher = batcher
        self._body = b""
        self._parser = httptools.HttpRequestParser(self)
        self.data_received = self._parser.feed_data  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def on_body(self, body: bytes) -> None:
        """httptools calls this once for a body that came in one piece."""
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """A request is there in full."""
        body, self._body = self._body, b""
        if not body:
            self._transport.write(READY)
            return
        self._batcher.submit(orjson.loads(body)["inputs"][0]["data"], self._transport)


async def serve(model: Path, port: int) -> None:
    """Listen until the process is ended."""
    loop = asyncio.get_running_loop()
    batcher = TurnBatcher(model, loop)
    server = await loop.create_server(lambda: Connection(batcher), "127.0.0.1", port, backlog=4096)
    gc.collect()
    gc.freeze()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.model, arguments.port))


if __name__ == "__main__":
    main()
