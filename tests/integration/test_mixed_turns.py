"""Many clients at once whose requests share turns and batches: each gets its own answer."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.onnx_models import identity
from tests.support.running import RunningApp, running

CLIENTS = 48
REQUESTS = 40
WIDTH = 4

SETTINGS = """
batching: {max_batch_size: 8}
inputs: {x: {default: -1, range: [-1000, 1000000]}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    root: Path = tmp_path_factory.mktemp("mixed")
    for name, datatype in (("number", "FP32"), ("text", "BYTES")):
        folder = root / name / "1"
        folder.mkdir(parents=True)
        identity(folder / "model.onnx", datatype, ("batch", WIDTH))
    (root / "number" / "model.yaml").write_text(SETTINGS)
    with running(root) as app:
        yield app


def post(model: str, body: bytes, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\n{lines}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def message(datatype: str, rows: int, data: Any, **fields: Any) -> bytes:
    tensor = {"name": "x", "shape": [rows, WIDTH], "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor], **fields}).encode()


def make(kind: str, number: int, dice: random.Random) -> tuple[bytes, int, Any]:
    """A request of one kind, and the status and data that answer it."""
    rows = dice.choice([1, 1, 1, 2, 3])
    values = [float(number * 100 + index) for index in range(rows * WIDTH)]
    if kind == "nested":
        nested = [values[row * WIDTH : (row + 1) * WIDTH] for row in range(rows)]
        return post("number", message("FP32", rows, nested)), 200, values
    if kind == "id":
        return post("number", message("FP32", rows, values, id=str(number))), 200, values
    if kind == "null":
        holes: list[float | None] = [None, *values[1:]]
        return post("number", message("FP32", rows, holes)), 200, [-1.0, *values[1:]]
    if kind == "text":
        words = [f"{number}-{index}-é],[" for index in range(rows * WIDTH)]
        return post("text", message("BYTES", rows, words)), 200, words
    if kind == "binary":
        raw = np.array(values, np.float32).tobytes()
        size = {"binary_data_size": len(raw)}
        tensor = {"name": "x", "shape": [rows, WIDTH], "datatype": "FP32", "parameters": size}
        top = json.dumps({"inputs": [tensor]}).encode()
        length = str(len(top))
        request = post("number", top + raw, Inference_Header_Content_Length=length)
        return request, 200, values
    if kind == "out of range":
        return post("number", message("FP32", rows, [-5000.0, *values[1:]])), 400, None
    if kind == "short":
        return post("number", message("FP32", rows, values[1:])), 400, None
    if kind == "too many rows":
        return post("number", message("FP32", 9, [0.0] * 9 * WIDTH)), 400, None
    if kind == "malformed":
        return post("number", b'{"inputs": [' + b"x" * rows), 400, None
    return post("number", message("FP32", rows, values)), 200, values


KINDS = ["plain"] * 4 + [
    "nested",
    "id",
    "null",
    "text",
    "binary",
    "out of range",
    "short",
    "too many rows",
    "malformed",
]


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    top = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(top.lower().partition("content-length: ")[2].partition("\r\n")[0])
    return int(top.split()[1]), json.loads(await reader.readexactly(length))


async def client(address: str, client_number: int) -> int:
    """Ask one thing after the other; every answer must be this client's own."""
    dice = random.Random(client_number)
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    wrong = 0
    for index in range(REQUESTS):
        kind = dice.choice(KINDS)
        request, status, data = make(kind, client_number * REQUESTS + index, dice)
        writer.write(request)
        answered, body = await read_answer(reader)
        assert answered == status, (kind, body)
        if status == 200:
            assert body["outputs"][0]["data"] == data, kind
        wrong += status == 400
    writer.close()
    await writer.wait_closed()
    return wrong


async def test_every_client_gets_its_own_answers(served: RunningApp) -> None:
    wrong = await asyncio.gather(*(client(served.http, number) for number in range(CLIENTS)))
    assert 0 < sum(wrong) < CLIENTS * REQUESTS
    assert served.metric("penstock_in_flight_requests") == 0
    assert served.metric("penstock_http_inflight_bytes") == 0
